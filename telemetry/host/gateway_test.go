// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"context"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry/host"
)

func TestGateway(t *testing.T) {
	three := 3
	const nothing = "controllerVersionOutcome=absent proxyVersionOutcome=absent proxyRouterOutcome=absent proxyDatabaseOutcome=absent proxyCountOutcome=absent lastPushSecondsOutcome=absent"
	tests := map[string]struct {
		facts host.GatewayFacts
		err   error
		want  string
	}{
		"all": {
			host.GatewayFacts{Controller: "v3.5.1-secret-name", Gateway: "3.9.1", Router: "expressions", Database: "off", Instances: &three, Pushed: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-26 * time.Hour)},
			nil, "controllerVersion=v3.5.1 proxyVersion=3.9.1 proxyRouter=expressions proxyDatabase=off proxyCount=2 lastPushSeconds=86400",
		},
		"nothing is known": {want: nothing},
		"not in the lists": {
			host.GatewayFacts{Controller: "secret-name", Router: "secret-name", Database: "cassandra", Instances: new(int)},
			nil, "controllerVersionOutcome=error proxyVersionOutcome=absent proxyRouter=other proxyDatabase=other proxyCount=0 lastPushSecondsOutcome=absent",
		},
		"a clock ahead": {
			host.GatewayFacts{Pushed: time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)},
			nil, nothing[:len(nothing)-len("lastPushSecondsOutcome=absent")] + "lastPushSeconds=0",
		},
		"forbidden": {
			err:  fs.ErrPermission,
			want: "controllerVersionOutcome=forbidden proxyVersionOutcome=forbidden proxyRouterOutcome=forbidden proxyDatabaseOutcome=forbidden proxyCountOutcome=forbidden lastPushSecondsOutcome=forbidden",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // now is midnight of 2000-01-01
				provider := host.Gateway("1.0.0", func(context.Context) (host.GatewayFacts, error) { return tt.facts, tt.err })
				if got := collect(t, provider); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}
