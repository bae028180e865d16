// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/telemetry"
)

// Programs that embed the library deliver through the bridge's destinations.
var _ telemetry.Destination = load.Destination(nil)
