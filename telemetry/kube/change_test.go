// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

func TestLastChange(t *testing.T) {
	// What synctest says the time is.
	const now = "2000-01-01T00:00:00Z"
	tests := map[string]struct {
		ingresses, plugins []string
		status             int
		want, outcome      string
	}{
		"newest of all": {
			ingresses: []string{`{"metadata":{"creationTimestamp":"1999-12-01T00:00:00Z","managedFields":[{"time":"1999-12-31T23:00:00Z"},{"time":"1999-12-31T22:00:00Z"}]}}`},
			plugins:   []string{`{"metadata":{"creationTimestamp":"1999-12-01T00:00:00Z"}}`},
			want:      "3600",
		},
		"status does not count": {
			ingresses: []string{`{"metadata":{"creationTimestamp":"1999-12-31T00:00:00Z","managedFields":[{"time":"` + now + `","subresource":"status"}]}}`},
			want:      "86400",
		},
		"created and never changed":   {plugins: []string{`{"metadata":{"creationTimestamp":"1999-12-31T23:59:50Z"}}`}, want: "10"},
		"the server's clock is ahead": {plugins: []string{`{"metadata":{"creationTimestamp":"2000-01-01T00:00:50Z"}}`}, want: "0"},
		"nothing there":               {outcome: "absent"},
		"no time is given":            {ingresses: []string{`{"metadata":{"creationTimestamp":null}}`, `{"metadata":{"creationTimestamp":"secret-name"}}`}, outcome: "absent"},
		"a part is forbidden":         {ingresses: []string{`{"metadata":{"creationTimestamp":"1999-12-31T00:00:00Z"}}`}, status: 403, outcome: "forbidden"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			const plugins = "/apis/configuration.konghq.com/v1/kongplugins"
			c := &cluster{
				lists:  map[string][]string{"/apis/networking.k8s.io/v1/ingresses": tt.ingresses, plugins: tt.plugins},
				status: map[string]int{plugins: tt.status},
			}
			synctest.Test(t, func(t *testing.T) {
				if got := time.Now().UTC().Format(time.RFC3339); got != now {
					t.Fatalf("the time is %s, want %s", got, now)
				}
				expect(t, collect(t, kube.LastChange(c.inMemory(t))), map[string]string{
					"lastConfigurationChangeSeconds": tt.want, "lastConfigurationChangeSecondsOutcome": tt.outcome,
				})
			})
		})
	}
}
