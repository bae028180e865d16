// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

// A summary is what a run has to say at its end: one JSON object on standard
// output, and the container's termination message.
type summary struct {
	Command string              `json:"command"`
	Version string              `json:"version"`
	OK      bool                `json:"ok"`
	Error   string              `json:"error,omitempty"`
	Cluster telemetry.Pseudonym `json:"cluster,omitzero"`
	Window  record.Window       `json:"window,omitzero"`
	// Degraded names the sources that could not be read.
	Degraded []string              `json:"degraded,omitempty"`
	Sources  []record.SourceReport `json:"sources,omitempty"`
	Staged   *stagedSummary        `json:"staged,omitempty"`
	// Damaged names the objects of the stage that could not be used, and what to do.
	Damaged []string `json:"damaged,omitempty"`
	// Empty says that there was nothing to deliver because nothing is staged at all.
	Empty bool `json:"empty,omitempty"`
	// Destinations says what was delivered where.
	Destinations []load.Summary   `json:"destinations,omitempty"`
	Compacted    *stage.Compacted `json:"compacted,omitempty"`
	Expired      *stage.Expired   `json:"expired,omitempty"`
	Seconds      float64          `json:"seconds"`

	toStderr bool // standard output carries events
}

// stagedSummary says what became of the events of a run.
type stagedSummary struct {
	// Batch is the name of the new batch, the last of several; empty when there was
	// nothing new.
	Batch  string           `json:"batch,omitempty"`
	Events int64            `json:"events"`
	ByName map[string]int64 `json:"byName,omitempty"`
	// AlreadyStaged events were in earlier batches; Duplicates came twice in this
	// run; Withheld may be in a batch that is damaged; Rejected broke the tracking
	// plan, as Violations tells.
	AlreadyStaged int64                  `json:"alreadyStaged"`
	Duplicates    int64                  `json:"duplicates"`
	Withheld      int64                  `json:"withheld,omitempty"`
	Rejected      int64                  `json:"rejected"`
	Violations    []stage.ViolationCount `json:"violations,omitempty"`
}

// report adds what an extraction read.
func (s *summary) report(r record.Report) {
	s.Cluster, s.Window = r.Cluster, r.Window
	if s.Sources == nil {
		s.Sources = slices.Clone(r.Sources)
	} else {
		s.Sources = record.AddSources(s.Sources, r.Sources)
	}
	for _, source := range r.Failed() {
		if name := source.Name.String(); !slices.Contains(s.Degraded, name) {
			s.Degraded = append(s.Degraded, name)
		}
	}
}

// staged adds what became of the events of an extraction.
func (s *summary) staged(r stage.Staged) {
	if s.Staged == nil {
		s.Staged = &stagedSummary{}
	}
	sum := s.Staged
	sum.Events += r.Events
	sum.AlreadyStaged += r.AlreadyStaged
	sum.Duplicates += r.Duplicates
	sum.Withheld += r.Withheld
	sum.Rejected += r.Rejected
	sum.Violations = append(sum.Violations, r.Violations...)
	if r.Manifest != nil {
		sum.Batch = r.Manifest.Batch
		if sum.ByName == nil {
			sum.ByName = map[string]int64{}
		}
		for name, n := range r.Manifest.Events {
			sum.ByName[name] += n
		}
	}
	for _, d := range r.Damaged {
		if text := d.String(); !slices.Contains(s.Damaged, text) {
			s.Damaged = append(s.Damaged, text)
		}
	}
}

// summarise runs a command's work and says what came of it. The work's context
// carries the span of the run.
func (p program) summarise(c *cobra.Command, work func(context.Context, *slog.Logger, *summary) error) error {
	s := &summary{Command: c.Name(), Version: cli.Version}
	log, err := cli.Logger(c)
	if err != nil {
		return err
	}
	observer, err := p.observer(c.Context())
	if err != nil {
		log.Warn("the run is not observed", "error", err)
	}
	began := p.now()
	ctx, span := observer.tracer.Start(c.Context(), "segment-bridge "+c.Name())
	err = work(ctx, log, s)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("told to stop (%w): %w", context.Cause(ctx), err)
	}
	s.OK, s.Seconds = err == nil, p.now().Sub(began).Seconds()
	if err != nil {
		s.Error = err.Error()
	}
	if err := observer.finish(ctx, span, s); err != nil {
		log.Warn("the run was not observed", "error", err)
	}
	text, marshalErr := json.Marshal(s)
	if marshalErr != nil {
		return fmt.Errorf("write summary: %w", marshalErr)
	}
	out := p.stdout
	if s.toStderr {
		out = p.stderr
	}
	if _, writeErr := fmt.Fprintf(out, "%s\n", text); writeErr != nil && err == nil {
		return fmt.Errorf("write summary: %w", writeErr)
	}
	p.terminationMessage(s, text)
	return err
}

// maxTerminationMessage is what Kubernetes keeps of a termination message.
const maxTerminationMessage = 4096

// terminationMessage leaves the summary where Kubernetes looks for it, when there
// is such a place. A long one loses its details rather than its end.
func (p program) terminationMessage(s *summary, text []byte) {
	if info, err := os.Stat(p.terminationLog); err != nil || !info.Mode().IsRegular() {
		return
	}
	if len(text) > maxTerminationMessage {
		short := *s
		short.Sources = nil
		if short.Staged != nil {
			staged := *short.Staged
			staged.ByName, staged.Violations = nil, nil
			short.Staged = &staged
		}
		if text, _ = json.Marshal(short); len(text) > maxTerminationMessage {
			text = text[:maxTerminationMessage]
		}
	}
	_ = os.WriteFile(p.terminationLog, text, 0o600) // the summary on standard output is the one that counts
}
