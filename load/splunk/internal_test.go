// SPDX-License-Identifier: Apache-2.0

package splunk

import (
	"net/url"
	"strings"
	"testing"
)

func TestBaseURL(t *testing.T) {
	const local, cloud = "https://splunk.example:8088", "https://http-inputs-acme.splunkcloud.com"
	tests := []struct{ text, want string }{
		{local, local},
		{local + "/", local},
		{" splunk.example:8088\n", local},
		{local + "/services/collector", local},
		{local + "/services/collector/", local},
		{local + "//services/collector//", "https://splunk.example:8088"},
		{local + "/services/collector/event", local},
		{local + "/services/collector/event/1.0", local},
		{local + "/services/collector/health", local},
		{local + "/proxy/hec/services/collector/event", local + "/proxy/hec"},
		{local + "/team%2Fa", local + "/team%2Fa"},
		{local + "/services/collectors", local + "/services/collectors"},
		{cloud + "/services/collector", cloud},
		{"http://[::1]:8088", "http://[::1]:8088"},
		{"", ""},
		{local + "/services/collector/raw", ""},
		{local + "/services/collector/hunter2", ""},
		{"ftp://splunk.example", ""},
		{"https://", ""},
		{"https://user:hunter2@splunk.example", ""},
		{local + "/services/collector?token=hunter2", ""},
		{local + "#hunter2", ""},
		{"https://hunter2\x7f/", ""},
	}
	for _, tt := range tests {
		got, err := baseURL(tt.text)
		switch {
		case err != nil:
			if tt.want != "" || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("baseURL(%q): %v", tt.text, err)
			}
		case got.String() != tt.want:
			t.Errorf("baseURL(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func FuzzBaseURL(f *testing.F) {
	for _, seed := range []string{"", "splunk.example:8088/services/collector/event/", "https://[::1]:1/a/services/collector", "://", "https://h/%2fservices/collector"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		base, err := baseURL(text)
		if err != nil {
			return
		}
		whole, err := url.Parse(base.String() + collectorPath + eventPath)
		if err != nil || whole.Host == "" || whole.User != nil || whole.RawQuery != "" {
			t.Fatalf("%q became %q: %v", text, base, err)
		}
		again, err := baseURL(whole.String())
		if err != nil || again.String() != base.String() {
			t.Fatalf("%q became %q and that %q: %v", text, base, again, err)
		}
	})
}

// FuzzAnswer holds that no answer settles an event that it does not speak of, and that an answer is repeated only by
// its numbers.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"text":"Success","code":0,"ackId":7}`, `{"text":"Invalid data format","code":6,"invalid-event-number":2}`, `{"acks":{"0":true}}`,
		`{"code":15,"invalid-event-number":-1}`, `{"code":7,"invalid-event-number":1}`, `{"code":1e3}`, `[]`, `null`, `<html>`, ``,
	} {
		f.Add(400, []byte(seed))
		f.Add(200, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		const events = 3
		a := readAnswer(status, body)
		bad := a.bad(events)
		if bad < -1 || bad >= events || bad >= 0 && (a.class() != refused || status != 400 || a.code == codeIndex) {
			t.Fatalf("%+v has the bad event %d", a, bad)
		}
		if a.class() == accepted && status != 200 {
			t.Fatalf("%+v is accepted", a)
		}
		if text := strings.Trim(a.Error(), "HTPECcode ,-0123456789"); text != "" {
			t.Fatalf("%+v says %q", a, text)
		}
	})
}

func TestChannelsAreGUIDs(t *testing.T) {
	one, other := newChannel(), newChannel()
	if !isGUID(one) || one == other || one[14] != '4' {
		t.Errorf("channels %s, %s", one, other)
	}
	for _, text := range []string{"", one[1:], strings.ReplaceAll(one, "-", "0"), strings.Replace(one, one[:1], "x", 1)} {
		if isGUID(text) {
			t.Errorf("%q is a GUID", text)
		}
	}
}
