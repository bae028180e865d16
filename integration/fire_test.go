// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// The servers that can be on fire, in the order of the columns below.
const (
	apiServer = iota
	resultsREST
	resultsGRPC
	store
	receiver
	servers
)

var serverNames = [servers]string{"kube-apiserver", "Tekton Results REST", "Tekton Results gRPC", "MinIO", "Segment"}

// What a run under fire comes to. The next run recovers the rest in any case.
type outcome int

const (
	fine  outcome = iota // as if there were no fire
	short                // sources are reported as failed; the others are staged and delivered
	fails                // exit code 1; the summary names the server; all other destinations have everything there is
	twice                // fails, and as the answers were lost, the next run sends again what came already
)

// How long a run under fire may take, on a machine that has other things to do. What
// it should take is far less, and logged.
const longestRun = 100 * time.Second

// fires are what toxiproxy does to the connections of one server, and what comes of it
// for each server.
var fires = []struct {
	name   string
	toxics []world.Toxic // none: it refuses connections
	want   [servers]outcome
}{
	//                                                                   kube-apiserver, Results REST and gRPC, MinIO, Segment
	{"latency and jitter", toxic("latency", "latency", 50, "jitter", 50), [servers]outcome{fine, fine, fine, fine, fine}},
	{"bandwidth", toxic("bandwidth", "rate", 100), [servers]outcome{fine, fine, fine, fine, fine}},
	{"bandwidth upstream", upstream("bandwidth", "rate", 20), [servers]outcome{fine, fine, fine, fine, fine}},
	{"sliced packets", toxic("slicer", "average_size", 50, "size_variation", 40, "delay", 50), [servers]outcome{fine, fine, fine, fine, fine}},
	{"slow close", toxic("slow_close", "delay", 2000), [servers]outcome{fine, fine, fine, fine, fine}},
	{"half-open: answers are lost", toxic("timeout", "timeout", 0), [servers]outcome{short, short, short, fails, twice}},
	{"half-open: requests are lost", upstream("timeout", "timeout", 0), [servers]outcome{short, short, short, fails, fails}},
	{"reset", toxic("reset_peer"), [servers]outcome{short, short, short, fails, twice}},
	{"refused", nil, [servers]outcome{short, short, short, fails, fails}},
	{"answers end after 60 bytes", toxic("limit_data", "bytes", 60), [servers]outcome{short, short, short, fails, twice}},
	{"answers end after 8000 bytes", toxic("limit_data", "bytes", 8000), [servers]outcome{short, short, short, fails, fine}},
	{"requests end after 60 bytes", upstream("limit_data", "bytes", 60), [servers]outcome{short, short, short, fails, fails}},
	{"requests end after 8000 bytes", upstream("limit_data", "bytes", 8000), [servers]outcome{fine, fine, fine, fails, fails}},
}

func toxic(kind string, attributes ...any) []world.Toxic {
	t := world.Toxic{Type: kind, Attributes: map[string]any{}}
	for pair := range slices.Chunk(attributes, 2) {
		t.Attributes[fmt.Sprint(pair[0])] = pair[1]
	}
	return []world.Toxic{t}
}

func upstream(kind string, attributes ...any) []world.Toxic {
	toxics := toxic(kind, attributes...)
	toxics[0].Stream = "upstream"
	return toxics
}

// slots is how many processes run at a time: most of them wait.
const slots = 16

// The program between servers whose connections fail in every way that toxiproxy
// knows. Each run ends in bounded time and says which server it was; what it could
// not read or deliver, the next run does.
func TestUnderFire(t *testing.T) {
	s := newSite(t, samplecluster.Config{Seed: 7, Runs: 50}, world.ResultsOptions{})
	// They are set here for good, since those below run at the same time.
	t.Setenv("AWS_ACCESS_KEY_ID", s.bucket.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.bucket.SecretKey)
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	type test struct {
		name string
		run  func(*zone)
	}
	var tests, quick []test // which come last: the others wait for something
	combinations := 0
	for _, fire := range fires {
		for server := range servers {
			combinations++
			these := &tests
			if fire.want[server] == fine {
				these = &quick
			}
			*these = append(*these, test{serverNames[server] + "/" + fire.name, func(z *zone) {
				z.set(server)
				if fire.toxics == nil {
					z.proxies[server].Stop()
				}
				z.proxies[server].Add(z.t, fire.toxics...)
				z.under(server, fire.want[server])
				z.proxies[server].Heal(z.t)
				z.recovers(fire.want[server] == twice)
			}})
		}
	}
	for server := range servers {
		tests = append(tests, test{serverNames[server] + "/told to stop", func(z *zone) { z.stop(server) }})
	}
	tests = slices.Concat([]test{
		{"kube-apiserver/half-open in the middle", func(z *zone) { z.fallsSilent(apiServer) }},
		{"Tekton Results REST/half-open in the middle", func(z *zone) { z.fallsSilent(resultsREST) }},
		{"Tekton Results gRPC/half-open in the middle", func(z *zone) { z.fallsSilent(resultsGRPC) }},
		{"MinIO/half-open before the receipt", func(z *zone) { z.losesReceipt(false) }},
		{"MinIO/told to stop before the receipt", func(z *zone) { z.losesReceipt(true) }},
		{"Segment/down while the file is delivered", func(z *zone) { z.delaysNobody() }},
		{"Segment/asks for patience", func(z *zone) { z.asksForPatience() }},
		{"Segment/in flight", func(z *zone) { z.inFlight() }},
	}, tests, quick)

	free := make(chan struct{}, slots)
	var running sync.WaitGroup
	for _, test := range tests {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			t.Run(test.name, func(t *testing.T) { test.run(newZone(t, s)) })
		})
	}
	running.Wait()
	t.Logf("%d combinations of server and toxic, and %d tests besides", combinations, len(tests)-combinations)
}
