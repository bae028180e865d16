// SPDX-License-Identifier: Apache-2.0

// Package consent decides whether telemetry is on. It is pure: what was seen in the cluster goes in, and out comes the
// decision with its reason.
//
// The first of these that speaks decides:
//
//  1. the Konflux resource, by spec.telemetry.enabled;
//  2. the SegmentBridge resource, by spec.enabled: where there is no Konflux resource, or to say no;
//  3. on OpenShift the console, which reports usage itself: see [ReadConsole];
//  4. nobody, and then telemetry is off.
//
// Where one that may speak cannot be heard, the last decision stays.
package consent

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
)

// Settle is how long the console's telemetry has to stay changed before that counts. It looks switched off whenever the
// cluster's telemeter client restarts.
const Settle = 10 * time.Minute

// A Sight is what came of looking for something. The zero Sight is that nothing came of it.
type Sight int

// What comes of looking.
const (
	Unreadable Sight = iota
	Absent
	Present
)

// Facts are what the decision is made of.
type Facts struct {
	// Konflux is the resource of that name, and KonfluxEnabled its spec.telemetry.enabled; nil when unset.
	Konflux        Sight
	KonfluxEnabled *bool
	// Enabled is spec.enabled of the SegmentBridge; nil when unset.
	Enabled *bool
	// OpenShift is present on OpenShift and absent elsewhere.
	OpenShift Sight
	// Console is the configuration of OpenShift's console; ConsoleEnabled is what [ReadConsole] makes of it.
	Console        Sight
	ConsoleEnabled bool
	// Last is the last decision; nil when there is none. Seen is that decision's Console.
	Last *bool
	Seen *v1alpha1.Console
	Now  time.Time
}

// A Decision is whether telemetry is on, and why.
type Decision struct {
	Enabled bool
	// Known is false when the last decision stays because another could not be made.
	Known bool
	// Reason is one of the constants, Message a sentence for people.
	Reason, Message string
	// Console is to be remembered until the next decision; nil when the console does not decide.
	Console *v1alpha1.Console
	// Again is when to decide anew although nothing was seen to change; 0 is never.
	Again time.Duration
}

// The reasons of decisions.
const (
	ReasonKonfluxEnabled    = "KonfluxEnabled"
	ReasonKonfluxDisabled   = "KonfluxDisabled"
	ReasonEnabled           = "Enabled"
	ReasonDisabled          = "Disabled"
	ReasonConsoleEnabled    = "ConsoleEnabled"
	ReasonConsoleDisabled   = "ConsoleDisabled"
	ReasonNotAsked          = "NotAsked"
	ReasonKonfluxUnreadable = "KonfluxUnreadable"
	ReasonClusterUnreadable = "ClusterUnreadable"
	ReasonConsoleUnreadable = "ConsoleUnreadable"
)

// Decide decides.
func Decide(f Facts) Decision {
	switch {
	case f.Konflux == Unreadable:
		return f.keep(ReasonKonfluxUnreadable, "the Konflux resource cannot be read")
	case f.KonfluxEnabled != nil && *f.KonfluxEnabled:
		return known(true, ReasonKonfluxEnabled, "spec.telemetry.enabled of the Konflux resource is true")
	case f.KonfluxEnabled != nil:
		return known(false, ReasonKonfluxDisabled, "spec.telemetry.enabled of the Konflux resource is false")
	case f.Enabled != nil && !*f.Enabled:
		return known(false, ReasonDisabled, "spec.enabled of the SegmentBridge is false")
	case f.Enabled != nil && f.Konflux == Absent:
		return known(true, ReasonEnabled, "spec.enabled of the SegmentBridge is true")
	case f.OpenShift == Unreadable:
		return f.keep(ReasonClusterUnreadable, "whether this is OpenShift cannot be found out")
	case f.OpenShift == Present:
		return f.console()
	case f.Konflux == Present:
		return known(false, ReasonNotAsked, "spec.telemetry.enabled of the Konflux resource is not set, and that means off")
	default:
		return known(false, ReasonNotAsked, "spec.enabled of the SegmentBridge is not set, and that means off")
	}
}

func known(enabled bool, reason, message string) Decision {
	return Decision{Enabled: enabled, Known: true, Reason: reason, Message: message}
}

// keep stays with the last decision; without one telemetry is off.
func (f *Facts) keep(reason, message string) Decision {
	d := Decision{Reason: reason, Console: f.Seen, Enabled: f.Last != nil && *f.Last}
	switch {
	case d.Enabled:
		d.Message = message + ": telemetry stays on"
	case f.Last != nil:
		d.Message = message + ": telemetry stays off"
	default:
		d.Message = message + ": telemetry is off until it can be"
	}
	return d
}

// console decides as OpenShift's console does. A first sight counts at once, a change when it has lasted.
func (f *Facts) console() Decision {
	const what = "nobody set spec.telemetry.enabled or spec.enabled, and the OpenShift console's telemetry is "
	var sight string
	switch f.Console {
	case Unreadable:
		return f.keep(ReasonConsoleUnreadable, "the OpenShift console's configuration cannot be read")
	case Absent:
		f.ConsoleEnabled, sight = false, "off: it has no configuration"
	case Present:
		sight = onOff(f.ConsoleEnabled)
	}
	now := metav1.NewTime(f.Now.Truncate(time.Second))
	seen := v1alpha1.Console{Enabled: f.ConsoleEnabled, Seen: f.ConsoleEnabled, Since: now}
	if f.Seen != nil {
		if seen.Enabled = f.Seen.Enabled; f.Seen.Seen == f.ConsoleEnabled {
			seen.Since = f.Seen.Since
		}
	}
	d := known(seen.Enabled, ReasonConsoleDisabled, what+sight)
	if seen.Seen != seen.Enabled {
		if left := Settle - now.Sub(seen.Since.Time); left > 0 {
			d.Again = min(left, Settle)
			d.Message += "; this counts if it lasts for " + Settle.String() + ", until then telemetry is " + onOff(seen.Enabled)
		} else {
			seen.Enabled = seen.Seen
			d.Enabled = seen.Seen
		}
	}
	if d.Enabled {
		d.Reason = ReasonConsoleEnabled
	}
	d.Console = &seen
	return d
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
