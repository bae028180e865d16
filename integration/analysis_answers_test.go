// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// answers says what each query of docs/analysis is to find, computed from the oracle's events. It knows neither SQL nor
// Parquet.
func (a *analysis) answers() map[string][]row {
	return map[string][]row{
		"pipelines": a.pipelines(), "unfinished": a.unfinished(), "installations": a.installations(), "tenants": a.tenants(),
		"growth": a.growth(), "versions": a.versions(), "heartbeats": a.heartbeats(), "delivery": a.delivery(),
		"adoption": a.adoption(),
	}
}

func (a *analysis) pipelines() []row {
	ended := a.group("PipelineRun Completed", byWeekAndType)
	return table(ended, func(r row, group []event) {
		outcomes := map[string]int{}
		var seconds []float64
		for _, e := range group {
			outcomes[str(e.Properties, "outcome")]++
			seconds = append(seconds, number(e, "durationSeconds"))
		}
		for _, outcome := range []string{"succeeded", "failed", "cancelled", "timeout"} {
			r[outcome] = float64(outcomes[outcome])
		}
		r["runs"], r["success_percent"] = float64(len(group)), percent(outcomes["succeeded"], len(group))
		r["p50_seconds"], r["p90_seconds"], r["p99_seconds"] = percentile(seconds, 0.5), percentile(seconds, 0.9), percentile(seconds, 0.99)
	})
}

func (a *analysis) unfinished() []row {
	last := map[string]time.Time{}
	for _, e := range a.events {
		if when := e.time(); when.After(last[e.Device]) {
			last[e.Device] = when
		}
	}
	type key = [2]string
	counts := map[key]row{}
	for id, e := range a.events {
		if e.Event != "PipelineRun Started" {
			continue
		}
		k := byWeekAndType(e)
		if counts[k] == nil {
			counts[k] = row{"week": k[0], "type": k[1], "started": 0.0, "unfinished": 0.0, "lost": 0.0}
		}
		add(counts[k], "started", 1)
		if _, ended := a.events[strings.TrimSuffix(id, "-started")+"-completed"]; !ended {
			add(counts[k], "unfinished", 1)
			if last[e.Device].Sub(e.time()) > 24*time.Hour {
				add(counts[k], "lost", 1)
			}
		}
	}
	return sorted(counts)
}

var lifeOfInstallation = regexp.MustCompile(`-(started|completed|failed|removal-started)$`)

func (a *analysis) installations() []row {
	installations := map[string][]event{}
	for id, e := range a.events {
		if strings.HasPrefix(e.Event, "Operator ") {
			uid := lifeOfInstallation.ReplaceAllString(id, "")
			installations[uid] = append(installations[uid], e)
		}
	}
	weeks, seconds := map[[2]string]row{}, map[[2]string][]float64{}
	for _, life := range installations {
		i := slices.IndexFunc(life, func(e event) bool { return e.Event == "Operator Deployment Started" })
		k := [2]string{week(life[i].time())}
		if weeks[k] == nil {
			weeks[k] = row{"week": k[0], "begun": 0.0, "succeeded": 0.0, "late": 0.0, "removed": 0.0}
		}
		for _, e := range life {
			column := map[string]string{
				"Operator Deployment Started": "begun", "Operator Deployment Completed": "succeeded",
				"Operator Deployment Failed": "late", "Operator Removal Started": "removed",
			}[e.Event]
			add(weeks[k], column, 1)
			if column == "succeeded" {
				seconds[k] = append(seconds[k], number(e, "durationSeconds"))
			}
		}
	}
	for k, r := range weeks {
		succeeded, _ := r["succeeded"].(float64)
		begun, _ := r["begun"].(float64)
		r["success_percent"] = percent(int(succeeded), int(begun))
		r["p50_seconds"], r["max_seconds"] = percentile(seconds[k], 0.5), percentile(seconds[k], 1)
	}
	return sorted(weeks)
}

func (a *analysis) tenants() []row {
	started := a.group("PipelineRun Started", func(e event) [2]string { return [2]string{week(e.time())} })
	return table(started, func(r row, group []event) {
		delete(r, "type")
		r["runs"] = float64(len(group))
		for column, property := range map[string]string{"clusters": "clusterIdHash", "namespaces": "namespaceHash", "users": "userHash"} {
			distinct := map[string]bool{}
			for _, e := range group {
				distinct[str(e.Properties, property)] = true
			}
			delete(distinct, "") // runs that nobody sent
			r[column] = float64(len(distinct))
		}
	})
}

func (a *analysis) growth() []row {
	first := map[[2]string]time.Time{} // of what and hash
	for _, e := range a.events {
		for _, of := range [][3]string{
			{"Component Created", "applications", "applicationHash"},
			{"Component Created", "components", "componentHash"},
			{"Namespace Created", "tenants", "namespaceHash"},
		} {
			k := [2]string{of[1], str(e.Properties, of[2])}
			if before, known := first[k]; e.Event == of[0] && (!known || e.time().Before(before)) {
				first[k] = e.time()
			}
		}
	}
	counts := map[[2]string]row{}
	for k, when := range first {
		of := [2]string{k[0], week(when)}
		if counts[of] == nil {
			counts[of] = row{"what": of[0], "week": of[1], "added": 0.0}
		}
		add(counts[of], "added", 1)
	}
	rows := sorted(counts)
	totals := row{}
	for _, r := range rows {
		what, _ := r["what"].(string)
		added, _ := r["added"].(float64)
		add(totals, what, added)
		r["total"] = totals[what]
	}
	return rows
}

func (a *analysis) versions() []row {
	last := map[[2]string]event{} // of week and cluster
	for _, e := range a.events {
		k := [2]string{week(e.time()), e.Device}
		if before, known := last[k]; !known || e.Timestamp > before.Timestamp {
			last[k] = e
		}
	}
	counts := map[[3]string]row{}
	for k, e := range last {
		of := [3]string{k[0], str(e.Properties, "konfluxVersion"), str(e.Properties, "kubernetesVersion")}
		if counts[of] == nil {
			counts[of] = row{"week": of[0], "konflux": of[1], "kubernetes": of[2], "clusters": 0.0}
		}
		add(counts[of], "clusters", 1)
	}
	return sorted(counts)
}

func (a *analysis) adoption() []row {
	last := map[string]event{}
	for _, e := range a.events {
		if e.Event == "Cluster Inventory" && e.Timestamp > last[e.Device].Timestamp {
			last[e.Device] = e
		}
	}
	counts := map[[2]string]row{}
	for _, e := range last {
		for name, value := range e.Properties {
			if strings.HasSuffix(name, "Hash") {
				continue
			}
			words := []string{fmt.Sprint(value)}
			if of, is := value.(map[string]any); is {
				words = slices.Collect(maps.Keys(of))
			}
			for _, word := range words {
				property, missing := strings.CutSuffix(name, "Outcome")
				if missing {
					word = "not known: " + word
				}
				k := [2]string{property, word}
				if counts[k] == nil {
					counts[k] = row{"property": property, "value": word, "clusters": 0.0}
				}
				add(counts[k], "clusters", 1)
			}
		}
	}
	return sorted(counts)
}

func (a *analysis) heartbeats() []row {
	clusters := map[[2]string]row{}
	for _, e := range a.events {
		k, when := [2]string{e.Device}, strings.NewReplacer("T", " ", "Z", "").Replace(e.Timestamp)
		r := clusters[k]
		if r == nil {
			r = row{"cluster": e.Device, "first_heard": when, "last_heard": when, "heartbeats": 0.0, "troubled": 0.0, "events": 0.0}
			clusters[k] = r
		}
		r["first_heard"], r["last_heard"] = min(when, str(r, "first_heard")), max(when, str(r, "last_heard"))
		if e.Event == "Segment Bridge Heartbeat" {
			add(r, "heartbeats", 1)
		} else {
			add(r, "events", 1)
		}
	}
	return sorted(clusters)
}

// delivery follows from what the jobs did. When they did it is in the receipts alone.
func (a *analysis) delivery() []row {
	finished := map[string]time.Time{} // by destination, cluster and window's end
	receipts, err := filepath.Glob(a.folder() + "/v1/receipts/*/*/*.json")
	if err != nil {
		a.t.Fatal(err)
	}
	destinations := map[string]bool{}
	for _, path := range receipts {
		var r struct {
			Destination, Cluster, Batch string
			Finished                    time.Time
		}
		if err := json.Unmarshal([]byte(read(a.t, path)), &r); err != nil {
			a.t.Fatal(err)
		}
		destinations[r.Destination] = true
		finished[r.Destination+r.Cluster+r.Batch[:len("20260304T120000Z")]] = r.Finished
	}
	days, lags := map[[2]string]row{}, map[[2]string][]float64{}
	for _, b := range a.batches {
		for d := range destinations {
			k := [2]string{d, b.until.Format(time.DateOnly)}
			r := days[k]
			if r == nil {
				r = row{"destination": d, "day": k[1], "batches": 0.0, "events": 0.0, "outstanding": 0.0, "delivered": 0.0, "rejected": 0.0}
				days[k] = r
			}
			add(r, "batches", 1)
			add(r, "events", float64(b.events))
			if !slices.Contains(b.to, d) {
				add(r, "outstanding", 1)
				continue
			}
			rejected := 0
			if d == "segment" {
				rejected = b.rejected
			}
			add(r, "rejected", float64(rejected))
			add(r, "delivered", float64(b.events-rejected))
			at, ok := finished[d+b.cluster+b.until.Format("20060102T150405Z")]
			if !ok {
				a.t.Errorf("there is no receipt of %s for the batch of %s", d, b.until)
			}
			lags[k] = append(lags[k], float64(at.Unix()-b.until.Unix()))
		}
	}
	for k, r := range days {
		r["p50_lag_seconds"], r["max_lag_seconds"] = percentile(lags[k], 0.5), percentile(lags[k], 1)
	}
	return sorted(days)
}

func (e event) time() time.Time {
	when, err := time.Parse(time.RFC3339, e.Timestamp)
	if err != nil {
		panic(err)
	}
	return when
}

// week is the Monday of a time.
func week(t time.Time) string {
	return t.AddDate(0, 0, -(int(t.Weekday())+6)%7).Format(time.DateOnly)
}

func byWeekAndType(e event) [2]string {
	return [2]string{week(e.time()), cmp.Or(str(e.Properties, "pipelineType"), "none")}
}

func (a *analysis) group(name string, by func(event) [2]string) map[[2]string][]event {
	groups := map[[2]string][]event{}
	for _, e := range a.events {
		if e.Event == name {
			groups[by(e)] = append(groups[by(e)], e)
		}
	}
	return groups
}

// table makes a row of each group, with its week and type, in their order.
func table(groups map[[2]string][]event, fill func(row, []event)) []row {
	rows := map[[2]string]row{}
	for k, group := range groups {
		rows[k] = row{"week": k[0], "type": k[1]}
		fill(rows[k], group)
	}
	return sorted(rows)
}

// sorted returns the rows in the order of their keys.
func sorted[K [2]string | [3]string](rows map[K]row) []row {
	var list []row
	for _, k := range slices.SortedFunc(maps.Keys(rows), func(a, b K) int {
		for i := range len(a) {
			if c := strings.Compare(a[i], b[i]); c != 0 {
				return c
			}
		}
		return 0
	}) {
		list = append(list, rows[k])
	}
	return list
}

func add(r row, column string, n float64) {
	before, _ := r[column].(float64)
	r[column] = before + n
}

func number(e event, property string) float64 {
	n, _ := e.Properties[property].(float64)
	return n
}

func percent(part, whole int) float64 {
	return math.Round(1000*float64(part)/float64(whole)) / 10
}

// percentile is the least number that at least such a share of all is not above; nil if there are none.
func percentile(numbers []float64, share float64) any {
	if len(numbers) == 0 {
		return nil
	}
	slices.Sort(numbers)
	return numbers[max(0, int(math.Ceil(share*float64(len(numbers))))-1)]
}
