// SPDX-License-Identifier: Apache-2.0

package plancheck_test

import (
	"strings"
	"testing"

	"github.com/segment-bridge/segment-bridge/integration/plancheck"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// What the program makes passes; whatever is changed about it does not.
func TestTrack(t *testing.T) {
	started, completed := stagetest.Run(1, stagetest.Noon, 60)
	library := telemetry.Library{Name: "segment-bridge", Version: "1.0.0"}
	for _, e := range []*telemetry.Event{started, completed, stagetest.Installed("a", stagetest.Noon), stagetest.Heartbeat(stagetest.Noon)} {
		if err := plancheck.Track(e.AppendTrack(nil, library)); err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
	}
	good := string(completed.AppendTrack(nil, library))
	namespace := good[strings.Index(good, `"namespaceHash":`):][:len(`"namespaceHash":"0123456789ab"`)]
	for name, change := range map[string][2]string{
		"another event":          {`"event":"PipelineRun Completed"`, `"event":"PipelineRun Deleted"`},
		"the other's event":      {`"event":"PipelineRun Completed"`, `"event":"PipelineRun Started"`},
		"another type":           {`"type":"track"`, `"type":"identify"`},
		"a user":                 {`"type":"track"`, `"type":"track","userId":"somebody"`},
		"more context":           {`"device":`, `"ip":"192.0.2.1","device":`},
		"a name":                 {namespace, `"namespaceHash":"acme-tenant"`},
		"upper case":             {namespace, `"namespaceHash":"0123456789AB"`},
		"a line after the hash":  {namespace, `"namespaceHash":"0123456789ab\n"`},
		"a property more":        {namespace, namespace + `,"repository":"acme"`},
		"a property less":        {namespace + ",", ""},
		"a word not in the list": {`"outcome":"succeeded"`, `"outcome":"great"`},
		"text for a number":      {`"durationSeconds":`, `"durationSeconds":"long","x":`},
		"no date":                {`"timestamp":"2026-`, `"timestamp":"2026-99-`},
		"a message ID with room": {`"messageId":"`, `"messageId":"a b`},
		"two calls":              {good, good + good},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Errorf("%s: %s is not in %s", name, change[0], good)
		}
		if plancheck.Track([]byte(bad)) == nil {
			t.Errorf("%s passes: %s", name, bad)
		}
	}
}

func BenchmarkTrack(b *testing.B) {
	_, completed := stagetest.Run(1, stagetest.Noon, 60)
	call := completed.AppendTrack(nil, telemetry.Library{Name: "segment-bridge", Version: "1.0.0"})
	for b.Loop() {
		if err := plancheck.Track(call); err != nil {
			b.Fatal(err)
		}
	}
}
