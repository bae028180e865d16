// SPDX-License-Identifier: Apache-2.0

package html_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	nethtml "golang.org/x/net/html"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/audit/html"
	"github.com/segment-bridge/segment-bridge/stage"
	"github.com/segment-bridge/segment-bridge/stage/mem"
	"github.com/segment-bridge/segment-bridge/stage/stagetest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/catalogue"
)

var update = flag.Bool("update", false, "write the golden files")

// aged is a bucket whose objects were all written on one day.
type aged struct{ stage.Bucket }

func (a aged) List(ctx context.Context, prefix, after string) iter.Seq2[stage.ObjectInfo, error] {
	return func(yield func(stage.ObjectInfo, error) bool) {
		for info, err := range a.Bucket.List(ctx, prefix, after) {
			if info.Modified = stagetest.Noon; !yield(info, err) {
				return
			}
		}
	}
}

// small is a stage of three batches, one of which has not been delivered, and its report.
func small(t *testing.T) (*stage.Ledger, *audit.Report) {
	t.Helper()
	bucket := &mem.Bucket{}
	ledger := stagetest.NewLedger(t, bucket)
	for hour := range 3 {
		from := stagetest.Noon.Add(time.Duration(20*hour) * time.Hour)
		m := stagetest.StageHour(t, ledger, from, 100*hour)
		if hour < 2 {
			stagetest.Deliver(t, ledger, m)
		}
	}
	r, err := audit.Run(t.Context(), aged{bucket}, audit.Options{
		Plan: catalogue.Plan(), Library: stagetest.Library, Now: stagetest.Noon.AddDate(0, 0, 5), WorkDir: t.TempDir(), Names: []string{"quokka-team"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ledger, r
}

func write(t *testing.T, r *audit.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := html.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	_, r := small(t)
	// Two events of the plan do: what it lists changes more often than how it looks.
	plan, err := telemetry.NewPlan(r.Plan.Name, *r.Plan.Event(catalogue.PipelineRunCompleted), *r.Plan.Event(catalogue.RemovalStarted))
	if err != nil {
		t.Fatal(err)
	}
	r.Plan, r.PlanID = plan, stage.PlanID{Name: plan.Name, Hash: "0123456789abcdef"}
	r.Samples = slices.DeleteFunc(r.Samples, func(s audit.Sample) bool { return plan.Event(s.Event) == nil })
	got := write(t, r)
	check(t, got)
	lined := strings.NewReplacer("<section", "\n<section", "<tr", "\n<tr", "<figure", "\n<figure", "<path", "\n<path", "<details", "\n<details").Replace(got)
	if *update {
		if err := os.WriteFile("testdata/report.html", []byte(lined), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/report.html")
	if err != nil {
		t.Fatal(err)
	}
	if lined != string(want) {
		t.Error("the page is not testdata/report.html: look at it, and run the test with -update if it is as it should be")
	}
}

// check holds a page to being HTML whose elements all end, to have what readers without eyes need, and to ask nobody for anything.
func check(t *testing.T, page string) {
	t.Helper()
	if err := balanced(page); err != nil {
		t.Error(err)
	}
	if strings.Contains(page, "//") {
		without := regexp.MustCompile(`(?s)<script>.*?</script>`).ReplaceAllString(page, "")
		if at := strings.Index(without, "//"); at >= 0 {
			t.Errorf("an address: %q", without[max(0, at-80):min(len(without), at+80)])
		}
	}
	for _, forbidden := range []string{" style=", " onclick=", "url(", "@import", "xmlns", "<iframe", "<object", "javascript:"} {
		if strings.Contains(page, forbidden) {
			t.Errorf("the page has %q", forbidden)
		}
	}
	for _, wanted := range []string{`<html lang="en">`, "<header>", "<main ", "<nav ", "<h1>", `content="default-src &#39;none&#39;`, "<caption>"} {
		if !strings.Contains(page, wanted) {
			t.Errorf("the page has no %q", wanted)
		}
	}
	if charts, named := strings.Count(page, "<svg"), len(regexp.MustCompile(`<svg [^>]*role="img" aria-labelledby="[^"]+"><title `).FindAllString(page, -1)); charts != named {
		t.Errorf("%d of %d charts say what they show", named, charts)
	}
	ids := map[string]bool{}
	for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if ids[id[1]] {
			t.Errorf("two elements have the ID %s", id[1])
		}
		ids[id[1]] = true
	}
	for _, link := range regexp.MustCompile(` href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !ids[link[1]] {
			t.Errorf("a link leads to #%s, which is nowhere", link[1])
		}
	}
}

// balanced reports an element that is not ended where it should be.
func balanced(page string) error {
	void := map[string]bool{"meta": true, "link": true, "br": true, "input": true}
	var open []string
	z := nethtml.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case nethtml.ErrorToken:
			if len(open) > 0 {
				return fmt.Errorf("elements have no end: %v (%w)", open, z.Err())
			}
			return nil
		case nethtml.StartTagToken:
			if name, _ := z.TagName(); !void[string(name)] {
				open = append(open, string(name))
			}
		case nethtml.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				return fmt.Errorf("%v is ended by %s", open, name)
			}
			open = open[:len(open)-1]
		case nethtml.TextToken, nethtml.SelfClosingTagToken, nethtml.CommentToken, nethtml.DoctypeToken:
		}
	}
}

func TestBalancedSees(t *testing.T) {
	for _, page := range []string{"<p><b></p></b>", "<p>", "</p>"} {
		if balanced(page) == nil {
			t.Errorf("%s passes", page)
		}
	}
}

// What anybody may have written into the bucket is shown, and does nothing.
func TestHostileTexts(t *testing.T) {
	const evil = "</script></style><script>alert(1)</script><img src=//x onerror=alert(1)>\" onmouseover=alert(1) x='\u202egpj.\x00\xff\u2066\n"
	_, r := small(t)
	r.Producer.Version = evil
	r.Clusters[0].Producers, r.Clusters[0].Schemes = []string{evil}, []string{evil}
	r.Destinations = append(r.Destinations, audit.Delivery{Destination: evil, Assurance: map[string]int64{evil: 1}, Reasons: map[string]int64{evil: 1}})
	r.Findings = append(r.Findings, audit.Finding{Kind: audit.ForeignObject, Key: evil, Text: evil, Advice: evil})
	r.Notices = append(r.Notices, audit.Finding{Kind: evil, Key: evil, Text: evil})
	r.Days[0].Events[evil] = 3
	r.Pipelines = append(r.Pipelines, audit.Pipelines{Day: r.Days[0].Day, Type: evil, Outcomes: map[string]int64{evil: 1e9}, Durations: []int64{1}})
	r.Installations.Reasons = map[string]int64{evil: 1}
	r.SmallGroups = append(r.SmallGroups, audit.Groupings{By: evil, Smallest: []audit.Group{{Value: evil, Size: 1}}})
	r.Reproduced = append(r.Reproduced, audit.Occurrence{Guess: audit.Guess{Label: evil}, Properties: map[string]int64{evil: 1}})
	r.Samples[0].Key, r.Samples[0].Payload = evil, `{"properties":{"durationSeconds":"</script><script>alert(1)</script>"}}`
	page := write(t, r)
	if err := balanced(page); err != nil {
		t.Error(err)
	}
	root, err := nethtml.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	scripts := 0
	for n := range root.Descendants() {
		if n.Type != nethtml.ElementNode {
			continue
		}
		if n.Data == "script" {
			scripts++
		}
		if n.Data == "img" || slices.ContainsFunc(n.Attr, func(a nethtml.Attribute) bool { return strings.HasPrefix(a.Key, "on") }) {
			t.Errorf("an element came out of a text: %s %v", n.Data, n.Attr)
		}
	}
	if scripts != 1 {
		t.Errorf("%d scripts", scripts)
	}
	for _, r := range "\u202e\u2066\x00" {
		if strings.ContainsRune(page, r) {
			t.Errorf("the page has %U", r)
		}
	}
	if strings.Count(page, "&lt;script&gt;") < 10 {
		t.Error("the texts are not shown")
	}
}

// A page stays small enough for a mail, however much there is, and says what it leaves out.
func TestLargeReport(t *testing.T) {
	_, r := small(t)
	r.Findings = nil
	for i := range 3000 {
		day := stagetest.Noon.AddDate(0, 0, i).Format(time.DateOnly)
		r.Days = append(r.Days, audit.Day{Day: day, Events: map[string]int64{catalogue.PipelineRunCompleted: int64(i)}})
		for _, typ := range []string{"build", "test", "release", "other", "final", "managed", "tenant", "none"} {
			r.Pipelines = append(r.Pipelines, audit.Pipelines{Day: day, Type: typ, Outcomes: map[string]int64{"succeeded": 2, "failed": 1}, Durations: make([]int64, 15)})
		}
		for _, kind := range []audit.Kind{audit.Orphan, audit.ForeignObject, audit.Undelivered} {
			r.Findings = append(r.Findings, audit.Finding{Kind: kind, Key: strings.Repeat("k", 1000), Text: "text", Advice: "advice"})
		}
		r.Clusters = append(r.Clusters, r.Clusters[0])
		r.Destinations = append(r.Destinations, r.Destinations[0])
		r.Days[0].Events[fmt.Sprint("event ", i)] = 1
	}
	r.Clean, r.FindingsTotal = false, 12_345
	page := write(t, r)
	check(t, page)
	if len(page) > 2<<20 {
		t.Errorf("%d bytes", len(page))
	}
	for _, want := range []string{"12,345 findings", "2,701 more are left out", "Events a year", "12,195 more are left out"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// An empty stage has a page too.
func TestEmptyReport(t *testing.T) {
	r, err := audit.Run(t.Context(), &mem.Bucket{}, audit.Options{Plan: catalogue.Plan(), Library: stagetest.Library, Now: stagetest.Noon})
	if err != nil {
		t.Fatal(err)
	}
	page := write(t, r)
	check(t, page)
	for _, want := range []string{"No findings.", "There are no events.", "the bucket holds no batch", "To nobody"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
