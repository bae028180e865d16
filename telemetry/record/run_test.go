// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// runs returns a run for each word of each list, and some that lack this or that.
func runs(t testing.TB) (runs []*PipelineRun) {
	t.Helper()
	names, err := telemetry.NewPseudonymizer("cluster")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := telemetry.ParseUID([]byte("0e6a9c1c-0000-4000-8000-000000000001"))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	whole := PipelineRun{
		UID: uid, Namespace: names.Namespace([]byte("team")), User: names.User([]byte("user")), Started: start,
		Completed: start.Add(90*time.Second + 5*time.Millisecond), Tasks: 12, HasPipelineLabel: true,
		Type: ParsePipelineType([]byte("build")), Status: StatusTrue, Reason: ParseRunReason([]byte("Succeeded")),
	}
	add := func(change func(r *PipelineRun)) {
		r := whole
		change(&r)
		runs = append(runs, &r)
	}
	add(func(*PipelineRun) {})
	add(func(r *PipelineRun) { *r = PipelineRun{UID: uid, Namespace: r.Namespace} })
	add(func(r *PipelineRun) { *r = PipelineRun{} })
	add(func(r *PipelineRun) { r.User, r.Tasks = telemetry.Pseudonym{}, 1000 })
	add(func(r *PipelineRun) { r.Started, r.HasPipelineLabel = time.Time{}, false })
	for _, word := range pipelineTypeWords {
		add(func(r *PipelineRun) { r.Type = telemetry.MustEnum[pipelineTypes](word) })
	}
	for _, word := range conditionStatusWords {
		add(func(r *PipelineRun) { r.Status = telemetry.MustEnum[conditionStatuses](word) })
	}
	for _, word := range whole.Reason.Words() {
		add(func(r *PipelineRun) { r.Reason = telemetry.MustEnum[runReasons](word) })
	}
	return runs
}

func TestRunIsWrittenAsJSON(t *testing.T) {
	for _, r := range runs(t) {
		want, err := json.Marshal(line{PipelineRun: r})
		if err != nil {
			t.Fatal(err)
		}
		got := appendRun(nil, r)
		if string(got) != string(want) {
			t.Errorf("the line is\n%s, want\n%s", got, want)
		}
		if back, ok := parseRun(got); !ok || !reflect.DeepEqual(back, r) {
			t.Errorf("%s is read as %+v, %v", got, back, ok)
		}
	}
}

func TestOtherLinesAreLeftToJSON(t *testing.T) {
	const uid, rest = `{"pipelineRun":{"uid":"a","namespace":"0123456789ab"`, `}}`
	for _, text := range []string{
		uid + `,"tasks": 1` + rest, uid + `,"tasks":01` + rest, uid + `,"tasks":-1` + rest, uid + `,"tasks":1e2` + rest,
		uid + `,"tasks":99999999999999999999` + rest, uid + `,"tasks":1,"status":"Tru\u0065"` + rest, uid + `,"tasks":1,"status":"Yes"` + rest,
		uid + `,"tasks":1,"name":"x"` + rest, uid + `,"tasks":1` + rest + " ", uid + `,"tasks":1}`, uid + rest, `{"namespace":{"uid":"a"}}`, "{}", "",
	} {
		if r, ok := parseRun([]byte(text)); ok {
			t.Errorf("%s is read as %+v", text, r)
		}
	}
}

func FuzzRun(f *testing.F) {
	for _, r := range runs(f) {
		f.Add(appendRun(nil, r))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, ok := parseRun(text)
		if !ok {
			return
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil || !reflect.DeepEqual(l.PipelineRun, r) {
			t.Fatalf("%s is read as %+v, by encoding/json as %+v, error %v", text, r, l.PipelineRun, err)
		}
	})
}
