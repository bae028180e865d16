// SPDX-License-Identifier: Apache-2.0

package splunk_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/load/splunk"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
)

func TestNew(t *testing.T) {
	const url, token = "https://hec.example:8088", splunktest.Token
	tests := []struct {
		name, url, token, wantErr, wantLog string
		change                             func(*splunk.Options)
	}{
		{name: "good", url: url, token: token},
		{name: "no URL", token: token, wantErr: "such as https://"},
		{name: "not a URL", url: "https://[::1", token: token, wantErr: "not a URL"},
		{name: "no token", url: url, wantErr: "create one in Splunk"},
		{name: "a whole header", url: url, token: "Splunk " + token, wantErr: "the token alone"},
		{name: "a line break", url: url, token: token + "\nX-Other: 1", wantErr: "line breaks"},
		{name: "an odd token", url: url, token: token[1:], wantLog: "compare it"},
		{name: "in the clear", url: "http://hec.example", token: token, wantLog: "in the clear"},
		{name: "on this machine", url: "http://127.0.0.1:8088", token: token},
		{name: "the web interface", url: "https://hec.example:8000", token: token, wantLog: "8088"},
		{name: "the management port", url: "https://hec.example:8089", token: token, wantLog: "8088"},
		{name: "no CA file", url: url, token: token, wantErr: "does not exist", change: func(o *splunk.Options) { o.CAFile = filepath.Join(t.TempDir(), "missing") }},
		{name: "a long index", url: url, token: token, wantErr: "shorten", change: func(o *splunk.Options) { o.Index = strings.Repeat("x", 2000) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			o := splunk.Options{URL: tt.url, Token: secret.New(tt.token), Logger: slog.New(slog.NewTextHandler(&log, nil))}
			if tt.change != nil {
				tt.change(&o)
			}
			_, err := splunk.New(o)
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v", err)
			}
			if (log.Len() == 0) != (tt.wantLog == "") || !strings.Contains(log.String(), tt.wantLog) {
				t.Errorf("log %q", log.String())
			}
			if said := log.String() + " " + errorText(err); strings.Contains(said, token[1:]) || strings.Contains(said, "hec.example") {
				t.Errorf("it says %q", said)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name     string
		receiver splunktest.Options
		faults   []splunktest.Fault
		change   func(*splunk.Options)
		wantErr  string
	}{
		{name: "good"},
		{name: "wrong token", receiver: splunktest.Options{Token: "another"}, wantErr: "HTTP 403, HEC code 4: Splunk does not know the token"},
		{name: "disabled", receiver: splunktest.Options{Token: "another", Disabled: splunktest.Token}, wantErr: "enable it"},
		{name: "busy", faults: []splunktest.Fault{{Status: 503, Code: 9}}, wantErr: "try again later"},
		{name: "cut", faults: []splunktest.Fault{{Reset: true}}, wantErr: "connection cut"},
		{name: "another server", faults: []splunktest.Fault{{Status: 200}}, wantErr: "check that the URL"},
		{name: "acknowledgement", receiver: splunktest.Options{Ack: true}, change: withAck},
		{name: "no acknowledgement", change: withAck, wantErr: "enable it for the token"},
		{name: "unwanted acknowledgement", receiver: splunktest.Options{Ack: true}, wantErr: "wants indexer acknowledgement"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			receiver := splunktest.New(tt.receiver)
			receiver.Inject(tt.faults...)
			d, _ := newDestination(t, receiver, tt.change)
			err := d.Check(t.Context())
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v", err)
			}
			if len(receiver.Events()) > 0 || strings.Contains(errorText(err), splunktest.Canary) {
				t.Errorf("%d events were sent; error %v", len(receiver.Events()), err)
			}
		})
	}
}

// TestHealthIsNoProof shows why Check does not ask for the health.
func TestHealthIsNoProof(t *testing.T) {
	address, stop, err := splunktest.New(splunktest.Options{}).Start()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/services/collector/health", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Splunk nobody-knows-it")
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("HTTP %d", response.StatusCode)
	}
}
