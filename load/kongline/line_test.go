// SPDX-License-Identifier: Apache-2.0

package kongline

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

func call(properties string) telemetry.Track {
	return telemetry.Track{MessageID: "id", Payload: fmt.Appendf(nil,
		`{"type":"track","messageId":"id","anonymousId":"anonymous","event":"PipelineRun Completed","timestamp":"2026-03-01T12:00:00Z",`+
			`"context":{"library":{"name":"segment-bridge","version":"v1.2.3"},"device":{"id":"0123456789ab"}},"properties":%s}`, properties)}
}

func TestLine(t *testing.T) {
	const head = "<14>signal=PipelineRun Completed;messageId=id;timestamp=2026-03-01T12:00:00Z;version=v1.2.3;"
	tests := []struct{ name, properties, want, wantFlaw string }{
		{"none", `{}`, head, ""},
		{"missing", `null`, head, ""},
		{"sorted", `{"b":1,"a":"x","c":true}`, head + "a=x;b=1;c=true;", ""},
		{"numbers as they are", `{"n":9007199254740993,"f":1.10,"e":1e3}`, head + "e=1e3;f=1.10;n=9007199254740993;", ""},
		{"null and empty", `{"a":null,"b":""}`, head + "b=;", ""},
		{"what has a meaning", `{"a":"x;y=1;\n<14>signal=z;%3B\u0000\u007f"}`, head + "a=x%3By%3D1%3B%0A<14>signal%3Dz%3B%253B%00%7F;", ""},
		{"in a name", `{"a=1;b":2}`, head + "a%3D1%3Bb=2;", ""},
		{"letters", `{"a":"é 😀 \ud800"}`, head + "a=é 😀 \ufffd;", ""},
		{"structures", `{"a":{"b": [1, "x;"]}}`, head + `a={"b":[1,"x%3B"]};`, ""},
		{"a name that is taken", `{"version":"x"}`, "", "property version would stand twice in the line"},
		{"a report", `{"n":1,"signal":"start"}`, strings.Replace(head, "=", "=start;event=", 1) + "n=1;", ""},
		{"no signal", `{"event":"x"}`, head + "event=x;", ""},
		{"a signal that is no word", `{"signal":1}`, "", "property signal would stand twice in the line"},
		{"an event beside a signal", `{"signal":"start","event":"x"}`, "", "property event would stand twice in the line"},
		{"long", `{"a":"` + strings.Repeat("x", maxLineBytes-len(head)-len("a=;\n")) + `"}`, head + "a=" + strings.Repeat("x", maxLineBytes-len(head)-4) + ";", ""},
		{"too long", `{"a":"` + strings.Repeat("x", maxLineBytes-len(head)-len("a=;\n")+1) + `"}`, "", "line longer than 8192 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			track := call(tt.properties)
			line, flaw := appendLine(nil, &track)
			if flaw != tt.wantFlaw || flaw == "" && string(line) != tt.want+"\n" {
				t.Errorf("flaw %q, line\n%s, want\n%s", flaw, line, tt.want)
			}
		})
	}
}

// FuzzLine holds that a reader who knows nothing but the separators finds the pairs of the event and no others, whatever
// their names and values are.
func FuzzLine(f *testing.F) {
	f.Add("name", "value")
	f.Add("a=1;b", "x\n<14>signal=forged;messageId=forged;")
	f.Add("%3D", "%\xff\x00é\u2028")
	f.Add("", "=;=;")
	f.Add("signal", "start;")
	f.Fuzz(func(t *testing.T, name, value string) {
		properties, err := json.Marshal(map[string]string{name: value})
		if err != nil {
			t.Fatal(err)
		}
		var sent map[string]string // invalid UTF-8 does not survive JSON
		if err := json.Unmarshal(properties, &sent); err != nil {
			t.Fatal(err)
		}
		track := call(string(properties))
		line, flaw := appendLine(nil, &track)
		if flaw != "" {
			return
		}
		text, ok := strings.CutSuffix(strings.TrimPrefix(string(line), priority), ";\n")
		if !ok || strings.ContainsAny(text, "\n\r\x00") {
			t.Fatalf("line %q", line)
		}
		pairs := strings.Split(text, ";")
		if len(pairs) != 5 {
			t.Fatalf("%d pairs in %q", len(pairs), line)
		}
		own := pairs[4]
		if name == keySignal { // a report's, which comes first
			own = pairs[0]
		}
		name, value, ok = strings.Cut(own, "=")
		if !ok || strings.Contains(value, "=") {
			t.Fatalf("pair %q", pairs[4])
		}
		name, err = url.PathUnescape(name)
		if err != nil {
			t.Fatal(err)
		}
		if value, err = url.PathUnescape(value); err != nil || sent[name] != value || len(sent) != 1 {
			t.Fatalf("sent %q, read %q=%q (%v)", sent, name, value, err)
		}
	})
}

func TestInvalidUTF8IsEncoded(t *testing.T) {
	if got := string(appendEscaped(nil, "a\xffb")); got != "a%FFb" {
		t.Errorf("got %q", got)
	}
}
