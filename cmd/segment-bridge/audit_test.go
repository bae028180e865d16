// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/internal/samplecluster"
)

// asProgram, in the environment of this test's binary, makes it the program.
const asProgram = "SEGMENT_BRIDGE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// Every command of docs/auditing.md does what the page says, in the order of the page.
func TestAuditingWalkthrough(t *testing.T) {
	page, err := os.ReadFile("../../docs/auditing.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for _, command := range regexp.MustCompile(`(?m)^\$ (.*)$`).FindAllStringSubmatch(block[1], -1) {
			commands = append(commands, command[1])
		}
	}
	if len(commands) < 10 {
		t.Fatalf("%d commands", len(commands))
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sample := samplecluster.New(samplecluster.Config{Seed: 1, Now: time.Now()}) // as in the demo
	names := ""
	for _, tenant := range sample.Tenants {
		names += tenant.Name + "\n"
	}
	script := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script("segment-bridge", fmt.Sprintf("%s=1 exec '%s' \"$@\"\n", asProgram, self))
	script("kubectl", fmt.Sprintf("case \"$*\" in *kube-system*) printf %s;; *) cat <<'.'\n%s.\nesac\n", sample.ID, names))
	settings, output := "set -eu\n", map[string]string{}
	for _, command := range commands {
		c := exec.CommandContext(t.Context(), "sh", "-c", settings+command)
		c.Dir = dir
		c.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
		var out []byte
		if strings.Contains(command, "--serve") {
			out, err = visit(t, c)
		} else {
			out, err = c.CombinedOutput()
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
		if strings.HasPrefix(command, "export ") {
			settings += command + "\n"
		}
		output[command] = string(out)
		if strings.HasPrefix(command, "segment-bridge audit") && !strings.Contains(command, ">") && !strings.Contains(string(out), "NO FINDINGS") {
			t.Errorf("%s:\n%s", command, out)
		}
	}
	for command, want := range map[string]string{
		"segment-bridge audit":                         "WHAT LEFT",
		"segment-bridge plan":                          "PipelineRun Started",
		"segment-bridge audit --names names.txt":       fmt.Sprintf("%d of %[1]d names were searched for", len(sample.Tenants)),
		"segment-bridge audit --k 10":                  "of fewer than 10",
		"segment-bridge audit --since 2026-01-01 --un": "windows from 2026-01-01T00:00:00Z to 2026-02-01",
	} {
		found := false
		for ran, out := range output {
			found = found || strings.HasPrefix(ran, command) && strings.Contains(out, want)
		}
		if !found {
			t.Errorf("%s does not say %q", command, want)
		}
	}
	for command, out := range output {
		if strings.Contains(command, "kube-system") && !regexp.MustCompile(`the cluster +\S+ +[1-9]`).MatchString(out) {
			t.Errorf("the cluster's ID is not that of the stage:\n%s", out)
		}
	}
	var report audit.Report
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil || !report.Clean || report.Format != audit.Format || report.Totals.Events == 0 {
		t.Errorf("report.json: %v, %+v", err, report.Totals)
	}
	forPeople, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil || !strings.Contains(string(forPeople), "No findings.") || strings.Contains(string(forPeople), dir) {
		t.Errorf("report.html: %v, %d bytes, or it tells of the machine", err, len(forPeople))
	}
	// The page names every kind of finding.
	source, err := os.ReadFile("../../audit/finding.go")
	if err != nil {
		t.Fatal(err)
	}
	kinds, _, _ := strings.Cut(string(source), "// The kinds of notices")
	for _, kind := range regexp.MustCompile(`Kind = "([a-z-]+)"`).FindAllStringSubmatch(kinds, -1) {
		if !strings.Contains(string(page), "`"+kind[1]+"`") {
			t.Errorf("docs/auditing.md does not say what %s means", kind[1])
		}
	}
}

// visit runs a command that serves the report until somebody has seen it.
func visit(t *testing.T, c *exec.Cmd) ([]byte, error) {
	t.Helper()
	c.Args[len(c.Args)-1] = strings.Replace(c.Args[len(c.Args)-1], "segment-bridge", "exec segment-bridge", 1) // so that it gets the signal

	var out bytes.Buffer
	c.Stdout = &out
	stderr, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		return nil, err
	}
	served := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		address := regexp.MustCompile(`http://\S+`).FindString(lines.Text())
		if address == "" {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			return nil, err
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		page, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			return nil, err
		}
		served = strings.Contains(string(page), "What left the cluster")
		if err := c.Process.Signal(os.Interrupt); err != nil {
			return nil, err
		}
	}
	if !served {
		t.Error("the report was not served")
	}
	err = c.Wait()
	return out.Bytes(), err
}

func TestAuditUsage(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\ufeff\r\n \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"": "--stage is required",
		"--stage file://" + dir + " --format html":                                           "use text or json",
		"--stage file://" + dir + " --serve=here":                                            "HOST:PORT",
		"--stage file://" + dir + " --k 0":                                                   "--k is less than 1",
		"--stage file://" + dir + " --cluster team-a":                                        "12 digits",
		"--stage file://" + dir + " --since 2026-02-01 --until 2026-01-01":                   "not before --until",
		"--stage file://" + dir + " --names " + dir + "/missing":                             "read names",
		"--stage file://" + dir + " --names " + empty:                                        "there is none",
		"--stage file://" + dir + " --reproduce team-a":                                      "--cluster-id",
		"--stage file://" + dir + " --reproduce team-a --cluster-id c --kind tenant":         "use namespace, user, component or application",
		"--stage file://" + dir + " --reproduce team-a --cluster-id c --kind component":      "NAMESPACE/NAME",
		"--stage file://" + dir + " --reproduce a --cluster-id c --pseudonym-key-file /none": "read pseudonym key",
	} {
		code, _, stderr := try(t, nil, append([]string{"audit"}, strings.Fields(args)...)...)
		if code != cli.ExitUsage || !strings.Contains(stderr, want) {
			t.Errorf("audit %s: exit code %d, want 2 and %q in:\n%s", args, code, want, stderr)
		}
	}
}

// A finding ends with exit code 1, in both formats. An audit of the wrong place finds nothing, and does not say that all is well.
func TestAuditFinds(t *testing.T) {
	dir := t.TempDir()
	place := "file://" + dir
	if code, out, stderr := try(t, nil, "audit", "--stage", place); code != cli.ExitFailed || out != "" || !strings.Contains(stderr, "nothing is staged there") {
		t.Errorf("exit code %d\n%s%s", code, out, stderr)
	}
	names := filepath.Join(t.TempDir(), "names")
	for file, text := range map[string]string{filepath.Join(dir, "wombat-builds.txt"): "x", names: "quokka\nwombat-builds\r\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []string{"text", "json"} {
		code, out, stderr := try(t, nil, "audit", "--stage", place, "--names", names, "--format", format)
		if code != cli.ExitFailed || !strings.Contains(out, "foreign-object") || !strings.Contains(out, "{2}.txt") || strings.Contains(out+stderr, "wombat") || !strings.Contains(stderr, "2 findings") {
			t.Errorf("exit code %d\n%s%s", code, out, stderr)
		}
	}
}

// What a name becomes is the same as in the demo's own table, under both schemes.
func TestReproduce(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"team-a":                      "the cluster; namespace, sha256; user, sha256",
		"team-a --kind user":          "the cluster; user, sha256",
		"team-a/x":                    "the cluster; component, sha256; application, sha256",
		"team-a --pseudonym-key-file": "the cluster; namespace, sha256; user, sha256; namespace, hmac-sha256 KEY; user, hmac-sha256 KEY",
	} {
		fields := strings.Fields(args)
		if strings.HasSuffix(args, "file") {
			fields = append(fields, key)
		}
		code, out, stderr := try(t, nil, append([]string{"audit", "--stage", "file://" + t.TempDir(), "--format", "json", "--cluster-id", "0b1f", "--reproduce"}, fields...)...)
		var r audit.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != cli.ExitDone {
			t.Fatalf("%s: exit code %d, %v\n%s", args, code, err, stderr)
		}
		var labels []string
		seen := map[string]string{}
		for _, o := range r.Reproduced {
			labels = append(labels, o.Label)
			seen[o.Label] = o.Pseudonym.String()
		}
		got := regexp.MustCompile(`hmac-sha256 [0-9a-f]{8}`).ReplaceAllString(strings.Join(labels, "; "), "hmac-sha256 KEY")
		if got != want || strings.Contains(out+stderr, "team-a") {
			t.Errorf("%s: %s, want %s\n%s", args, got, want, stderr)
		}
		if p, ok := seen["namespace, sha256"]; ok && p != "9060fbfacf6c" {
			t.Errorf("team-a became %s", p)
		}
	}
}
