// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// Format is the version of the stage's format. A reader refuses another.
const Format = 1

// ErrCorrupt says that an object of the stage is not what its name or its manifest
// says. The error around it names the key.
var ErrCorrupt = errors.New("stage is corrupt")

// ErrNewer says that an object of the stage was written by a release that knows a
// newer format: use that release, or a later one. Nothing is wrong with the object.
var ErrNewer = errors.New("stage has a newer format")

// A Manifest describes a batch and makes it exist.
type Manifest struct {
	Format int `json:"format"`
	// Producer is the program that staged the batch.
	Producer Producer            `json:"producer"`
	Cluster  telemetry.Pseudonym `json:"cluster"`
	Batch    string              `json:"batch"`
	// Window is the span of time that was read.
	Window record.Window `json:"window"`
	// Plan is the tracking plan that the events were checked against.
	Plan PlanID `json:"plan"`
	// Files are the data, exactly one in this format.
	Files []File `json:"files"`
	// Events has the number of rows of each event.
	Events map[string]int64 `json:"events"`
	// MinTime and MaxTime are the times of the earliest and the latest event.
	MinTime time.Time `json:"minTime"`
	MaxTime time.Time `json:"maxTime"`
	// Coverage has, for each source, the spans of time that have been read to their
	// end, by this run and those before: disjoint and in ascending order. A span of
	// no length marks when a source was first tried.
	Coverage Coverage `json:"coverage"`
	// Carried is what later runs have to know and would not find in the batches
	// that they read.
	Carried Carried `json:"carried"`
	// Violations counts the events that broke the plan and were not staged.
	Violations []ViolationCount `json:"violations,omitempty"`
	// Extract says how the sources were read and how names were hidden.
	Extract record.Report `json:"extract"`
	// Replaces are the batches that were compacted into this one, those that an
	// earlier compaction replaced included: whatever is left of them does not count.
	Replaces []Replaced `json:"replaces,omitempty"`
	// Damaged are objects of earlier batches that could not be used, as long as later
	// runs have to come back to them.
	Damaged []Damage `json:"damaged,omitempty"`
}

// Replaced is what is left to know of a batch whose events are in a merged one.
type Replaced struct {
	Batch  string        `json:"batch"`
	Window record.Window `json:"window"`
	// SHA256 and Rows are those of its file.
	SHA256 string `json:"sha256"`
	Rows   int64  `json:"rows"`
}

// Producer is a program and its version.
type Producer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// PlanID identifies a tracking plan.
type PlanID struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
}

// A File is an immutable object.
type File struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Rows   int64  `json:"rows"`
}

// Carried passes from each manifest to the next.
type Carried struct {
	// Once has the message IDs of the staged events that happen once in the life of
	// an object, in ascending order.
	Once []string `json:"once,omitempty"`
	// Heartbeat is the time of the newest heartbeat that was staged.
	Heartbeat time.Time `json:"heartbeat,omitzero"`
}

// A ViolationCount counts events that broke the plan in the same way.
type ViolationCount struct {
	telemetry.Violation
	Count int64 `json:"count"`
}

// ID returns the name of the batch that the manifest describes.
func (m *Manifest) ID() Batch { return Batch{m.Cluster, m.Batch} }

// check reports whether the manifest describes the batch and agrees with itself.
func (m *Manifest) check(b Batch) error {
	end, sum, ok := parseBatchName(m.Batch)
	if !ok || m.ID() != b {
		return errors.New("it describes another batch")
	}
	if !m.Window.Until.Equal(end) || !m.Window.Since.Before(end) {
		return errors.New("its window does not end where its name says")
	}
	if m.Extract.Cluster != m.Cluster || m.Extract.Window != m.Window {
		return errors.New("its extract report is of another cluster or window")
	}
	if len(m.Files) != 1 {
		return fmt.Errorf("it lists %d files where format %d has one", len(m.Files), Format)
	}
	f := m.Files[0]
	if f.Key != b.dataKey() || len(f.SHA256) != 64 || !isHex(f.SHA256) || f.SHA256[:hashDigits] != sum {
		return errors.New("its file is not the one that its name says")
	}
	var rows int64
	for _, n := range m.Events {
		if n < 1 {
			return errors.New("it counts an event that is not there")
		}
		rows += n
	}
	if f.Size < 1 || f.Rows < 1 || f.Rows != rows {
		return errors.New("its numbers of rows do not add up")
	}
	if m.MinTime.IsZero() || m.MaxTime.Before(m.MinTime) {
		return errors.New("its events have no times")
	}
	if b.merged() != (len(m.Replaces) > 0) {
		return errors.New("its name does not say whether it was compacted from others")
	}
	for _, r := range m.Replaces {
		partEnd, partSum, ok := parseBatchName(r.Batch)
		if !ok || r.Batch == m.Batch || partEnd.After(end) || !sameDay(partEnd, end) || !r.Window.Until.Equal(partEnd) ||
			len(r.SHA256) != 64 || r.SHA256[:hashDigits] != partSum || r.Rows < 1 {
			return errors.New("it replaces a batch that cannot be one of its parts")
		}
	}
	return nil
}

// encode returns a document as it is stored: indented JSON.
func encode(document any) ([]byte, error) {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// decode reads one document of this format, strictly: an unknown format, an
// unknown field or anything after the document is an error.
func decode(text []byte, document any) error {
	var version struct{ Format int }
	if err := json.Unmarshal(text, &version); err != nil {
		return errors.New("it is not a JSON object")
	}
	switch {
	case version.Format > Format:
		return fmt.Errorf("%w: its format is %d and this release knows %d: use the release that wrote it, or a later one", ErrNewer, version.Format, Format)
	case version.Format != Format:
		return errors.New("it states no format")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(document); err != nil {
		return fmt.Errorf("it does not have the fields of format %d", Format)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}
