// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding"
	"strconv"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// Nearly every line of a large spool is that of a PipelineRun. It is written and read
// here as encoding/json would, without reflection; what looks otherwise is left to
// encoding/json.

// appendRun appends the line of a run.
func appendRun(b []byte, r *PipelineRun) []byte {
	b = append(b, `{"pipelineRun":{"uid":"`...)
	b = append(b, r.UID.String()...)
	b = appendPseudonym(b, `","namespace":"`, r.Namespace)
	if !r.User.IsZero() {
		b = appendPseudonym(b, `","user":"`, r.User)
	}
	b = append(b, '"')
	b = appendTime(b, `,"started":"`, r.Started)
	b = appendTime(b, `,"completed":"`, r.Completed)
	b = append(b, `,"tasks":`...)
	b = strconv.AppendInt(b, int64(r.Tasks), 10)
	if r.HasPipelineLabel {
		b = append(b, hasPipelineLabel...)
	}
	b = appendWord(b, `,"type":"`, r.Type.String())
	b = appendWord(b, `,"status":"`, r.Status.String())
	b = appendWord(b, `,"reason":"`, r.Reason.String())
	return append(b, "}}"...)
}

const hasPipelineLabel = `,"hasPipelineLabel":true`

func appendPseudonym(b []byte, key string, p telemetry.Pseudonym) []byte {
	b, _ = p.AppendText(append(b, key...)) // which never fails
	return b
}

func appendTime(b []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = t.AppendFormat(append(b, key...), time.RFC3339Nano)
	return append(b, '"')
}

// appendWord appends a word of a closed list. None of them needs escaping.
func appendWord(b []byte, key, word string) []byte {
	if word == "" {
		return b
	}
	b = append(append(b, key...), word...)
	return append(b, '"')
}

// parseRun reads what appendRun wrote, and reports whether the line looked like that.
func parseRun(text []byte) (*PipelineRun, bool) {
	r := new(PipelineRun)
	l := runLine{text}
	ok := l.text(`{"pipelineRun":{"uid":"`, &r.UID) && l.text(`,"namespace":"`, &r.Namespace) &&
		l.optional(`,"user":"`, &r.User) && l.optional(`,"started":"`, &r.Started) && l.optional(`,"completed":"`, &r.Completed) &&
		l.cut(`,"tasks":`) && l.number(&r.Tasks)
	if !ok {
		return nil, false
	}
	r.HasPipelineLabel = l.cut(hasPipelineLabel)
	ok = l.optional(`,"type":"`, &r.Type) && l.optional(`,"status":"`, &r.Status) && l.optional(`,"reason":"`, &r.Reason) && string(l.rest) == "}}"
	return r, ok
}

// A runLine is the rest of a line that is read from left to right.
type runLine struct{ rest []byte }

// cut reads what is expected, if it is there.
func (l *runLine) cut(expected string) (found bool) {
	if found = len(l.rest) >= len(expected) && string(l.rest[:len(expected)]) == expected; found {
		l.rest = l.rest[len(expected):]
	}
	return found
}

// text reads a string without escapes; none of the types would take a backslash.
func (l *runLine) text(key string, into encoding.TextUnmarshaler) bool {
	if !l.cut(key) {
		return false
	}
	end := bytes.IndexByte(l.rest, '"')
	if end < 0 || into.UnmarshalText(l.rest[:end]) != nil {
		return false
	}
	l.rest = l.rest[end+1:]
	return true
}

// optional reads a string that may be missing.
func (l *runLine) optional(key string, into encoding.TextUnmarshaler) bool {
	return !bytes.HasPrefix(l.rest, []byte(key)) || l.text(key, into)
}

// number reads a count as JSON has it, without leading zeros.
func (l *runLine) number(into *int) bool {
	n := 0
	for n < len(l.rest) && l.rest[n] >= '0' && l.rest[n] <= '9' {
		n++
	}
	if n == 0 || n > 1 && l.rest[0] == '0' {
		return false
	}
	count, err := strconv.Atoi(string(l.rest[:n]))
	*into, l.rest = count, l.rest[n:]
	return err == nil
}
