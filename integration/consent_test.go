// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hostProgram is testdata/host, built once.
var hostProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "segment-bridge-host-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "host")
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-o", path, "./testdata/host")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // so that names are looked up by Go, with packets
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the host: %w: %s", err, out)
	}
	return path, nil
})

// hostAnswer is what the host prints.
type hostAnswer struct {
	Found                      map[string]string
	Requests, Bytes            int64
	Peak                       string
	Refused, Identified, Saved int64
	Decided, Error             string
}

// A hostProcess is a host that waits for its end, which is that of the test.
type hostProcess struct {
	pid    int
	answer func() hostAnswer // blocks until there is one
}

func startHost(t *testing.T, settings map[string]any, attributes *syscall.SysProcAttr, env ...string) *hostProcess {
	t.Helper()
	path, err := hostProgram()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, string(text))
	cmd.SysProcAttr, cmd.Env, cmd.Stderr = attributes, env, t.Output()
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // the test may have killed it
	})
	return &hostProcess{cmd.Process.Pid, sync.OnceValue(func() (a hostAnswer) {
		line, err := bufio.NewReader(stdout).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &a)
		}
		if err != nil {
			t.Errorf("read the host's answer: %v", err)
		}
		return a
	})}
}

// packets returns the counters of the kernel for what was sent, or could not be sent, in the process's network namespace.
func (p *hostProcess) packets(t *testing.T) map[string]string {
	t.Helper()
	counters := map[string]string{}
	read := func(name string) []string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.pid, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	lines := read("snmp") // of each protocol the names, and on the next line the values
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		for n := 1; n < len(names); n++ {
			counters[strings.TrimSuffix(names[0], ":")+names[n]] = values[n]
		}
	}
	for _, line := range read("snmp6") {
		if pair := strings.Fields(line); len(pair) == 2 {
			counters[pair[0]] = pair[1]
		}
	}
	sent := map[string]string{}
	for _, name := range []string{
		"IpOutNoRoutes", "Ip6OutNoRoutes", // what a namespace without routes makes of every packet and connection
		"IpOutRequests", "Ip6OutRequests", "TcpActiveOpens", "UdpOutDatagrams", "Udp6OutDatagrams",
	} {
		if counters[name] == "" {
			t.Fatalf("the kernel does not count %s", name)
		}
		if counters[name] != "0" {
			sent[name] = counters[name]
		}
	}
	return sent
}

// In a network namespace that has no route to anywhere, not even to itself, the kernel counts each attempt to reach
// something, the lookup of a name included. While telemetry is off there is none, whoever turned it off. While it is on,
// the same program in the same namespace tries, each of the places where it would.
func TestOffMeansThatNothingIsDialled(t *testing.T) {
	const apiServer, address = "https://api.cluster.example:6443", "192.0.2.1:61833"
	everything := func(change map[string]any) map[string]any {
		s := map[string]any{
			"Server": apiServer, "Do": "report", "AskCluster": true,
			"Segment": "https://segment.example", "Splunk": "https://splunk.example:8088", "Kong": address,
		}
		maps.Copy(s, change)
		return s
	}
	tests := []struct {
		name     string
		settings map[string]any
		env      string
		off      string // who turned it off
	}{
		{"off by default", everything(map[string]any{"AskCluster": false}), "", "default"},
		{"off by configuration", everything(map[string]any{"Off": true, "OnByDefault": true}), "HOST_TELEMETRY=on", "configuration"},
		{"off by the product's variable", everything(map[string]any{"OnByDefault": true}), "HOST_TELEMETRY=off", "variable"},
		{"off by DO_NOT_TRACK", everything(map[string]any{"OnByDefault": true}), "DO_NOT_TRACK=1", "DO_NOT_TRACK"},

		{"on, which the cluster is asked about", everything(map[string]any{"OnByDefault": true}), "", ""},
		{"on, and the identity in the cluster", map[string]any{"Server": apiServer, "Do": "report"}, "HOST_TELEMETRY=on", ""},
		{"on, a destination with a name", map[string]any{"Server": apiServer, "Known": true, "Do": "report", "Segment": "https://segment.example"}, "HOST_TELEMETRY=on", ""},
		{"on, a destination with an address", map[string]any{"Server": apiServer, "Known": true, "Do": "report", "Kong": address}, "HOST_TELEMETRY=on", ""},
		{"off, and a preview, which reads the cluster", everything(map[string]any{"Do": "preview"}), "HOST_TELEMETRY=off", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host := startHost(t, tt.settings, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}, tt.env)
			if tt.off == "" {
				for end := time.Now().Add(time.Minute); len(host.packets(t)) == 0; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("nothing was dialled, so that this test could not tell: %+v", host.answer())
					}
				}
				t.Logf("the kernel counted %v", host.packets(t))
				return
			}
			a := host.answer()
			if a.Decided != tt.off || a.Refused != 100 || a.Error != "" {
				t.Errorf("%d of 100 reports were refused by %s, %s", a.Refused, a.Decided, a.Error)
			}
			if a.Identified != 0 || a.Saved != 0 {
				t.Errorf("the identity was asked for %d times, and %d plans were kept", a.Identified, a.Saved)
			}
			if sent := host.packets(t); len(sent) > 0 {
				t.Errorf("the kernel counted %v", sent)
			}
		})
	}
}
