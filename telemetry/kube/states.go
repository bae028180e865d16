// SPDX-License-Identifier: Apache-2.0

package kube

// What a condition says of an object: that it is so, that it is not, or nothing yet.
const (
	stateTrue    = "true"
	stateFalse   = "false"
	stateUnknown = "unknown"
)

var states = []string{stateTrue, stateFalse, stateUnknown}

// A conditioned is an object with conditions, and with listeners if it is a Gateway.
type conditioned struct {
	Metadata objectMeta `json:"metadata"`
	Status   struct {
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
		Listeners []struct {
			AttachedRoutes int64 `json:"attachedRoutes"`
		} `json:"listeners"`
	} `json:"status"`
}

// state returns the word for the status of a condition.
func (c *conditioned) state(condition string) string {
	for _, is := range c.Status.Conditions {
		if is.Type != condition {
			continue
		}
		switch is.Status {
		case "True":
			return stateTrue
		case "False":
			return stateFalse
		}
	}
	return stateUnknown
}
