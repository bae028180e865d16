// SPDX-License-Identifier: Apache-2.0

package kongline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// priority is that of a syslog message of facility user and severity informational.
const priority = "<14>"

// maxLineBytes is the longest message that rsyslog takes unless told otherwise; it cuts longer ones.
const maxLineBytes = 8 << 10

// The names that no property may have, since the line has them already.
const (
	keySignal    = "signal"
	keyEvent     = "event"
	keyMessageID = "messageId"
	keyTimestamp = "timestamp"
	keyVersion   = "version"
)

const notATrack = "not a track call"

// appendLine appends the line of an event, or says its flaw.
func appendLine(b []byte, t *telemetry.Track) (line []byte, flaw string) {
	var call struct {
		MessageID, Event, Timestamp string
		Context                     struct{ Library struct{ Version string } }
		Properties                  map[string]json.RawMessage
	}
	if len(t.Payload) == 0 || t.Payload[0] != '{' || json.Unmarshal(t.Payload, &call) != nil || call.Event == "" {
		return b, notATrack
	}
	if t.MessageID == "" || call.MessageID != t.MessageID {
		return b, "message ID is missing or not the staged one"
	}
	start := len(b)
	b = append(b, priority...)
	signal, own := "", false // of a report, which says what it was made for
	if value, ok := call.Properties[keySignal]; ok && value[0] == '"' {
		signal, own = text(value)
		delete(call.Properties, keySignal)
	}
	if own {
		b = appendPair(b, keySignal, signal)
		b = appendPair(b, keyEvent, call.Event)
	} else {
		b = appendPair(b, keySignal, call.Event)
	}
	b = appendPair(b, keyMessageID, call.MessageID)
	b = appendPair(b, keyTimestamp, call.Timestamp)
	b = appendPair(b, keyVersion, call.Context.Library.Version)
	for _, name := range slices.Sorted(maps.Keys(call.Properties)) {
		switch {
		case name == keySignal, name == keyMessageID, name == keyTimestamp, name == keyVersion, name == keyEvent && own:
			return b, fmt.Sprintf("property %s would stand twice in the line", name)
		}
		if value, ok := text(call.Properties[name]); ok {
			b = appendPair(b, name, value)
		}
	}
	b = append(b, '\n')
	if len(b)-start > maxLineBytes {
		return b, fmt.Sprintf("line longer than %d bytes", maxLineBytes)
	}
	return b, ""
}

// text returns a value as it stands in a line; null does not stand there.
func text(value json.RawMessage) (s string, ok bool) {
	switch value[0] {
	case 'n':
		return "", false
	case '"':
		err := json.Unmarshal(value, &s)
		return s, err == nil
	case '{', '[':
		var compact bytes.Buffer
		_ = json.Compact(&compact, value) // it was parsed
		return compact.String(), true
	default:
		return string(value), true
	}
}

func appendPair(b []byte, name, value string) []byte {
	b = appendEscaped(b, name)
	b = append(b, '=')
	b = appendEscaped(b, value)
	return append(b, ';')
}

// appendEscaped percent-encodes what has a meaning in a line.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r < ' ' || r == 0x7f || strings.ContainsRune("%;=", r) {
			b = append(b, '%', hex[s[i]>>4], hex[s[i]&15])
			i++
			continue
		}
		b = append(b, s[i:i+size]...)
		i += size
	}
	return b
}
