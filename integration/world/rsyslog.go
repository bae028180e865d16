// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Rsyslog is Debian's rsyslog, which takes syslog messages over TLS and writes each as it came into a file.
type Rsyslog struct {
	Address string // host:port
	CAFile  string // to verify it with
	dir     string
	process *process
}

// NewRsyslog returns an rsyslog for this test, which is not started yet.
func NewRsyslog(t testing.TB) *Rsyslog {
	t.Helper()
	dir, port, ca := newTLSServer(t, "rsyslog")
	r := &Rsyslog{Address: net.JoinHostPort("localhost", strconv.Itoa(port)), CAFile: ca, dir: dir}
	config := fmt.Sprintf(`
global(workDirectory=%[1]q defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="%[1]s/ca.crt"
  defaultNetstreamDriverCertFile="%[1]s/server.crt" defaultNetstreamDriverKeyFile="%[1]s/server.key")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
input(type="imtcp" address="127.0.0.1" port="%[2]d")
template(name="raw" type="string" string="%%rawmsg%%\n")
action(type="omfile" file="%[1]s/lines" template="raw")
`, dir, port)
	if err := writeFiles(map[string][]byte{filepath.Join(dir, "rsyslog.conf"): []byte(config)}); err != nil {
		t.Fatal(err)
	}
	return r
}

// Start starts it.
func (r *Rsyslog) Start(t testing.TB) {
	t.Helper()
	cmd := exec.Command("/usr/sbin/rsyslogd", "-n", "-f", filepath.Join(r.dir, "rsyslog.conf"), "-i", filepath.Join(r.dir, "pid")) //nolint:noctx // the test stops it
	r.process = startServer(t, r.dir, "rsyslog", r.Address, cmd)
}

// Stop stops it in good order: it writes what it has.
func (r *Rsyslog) Stop() { r.process.stop(syscall.SIGTERM) }

// Lines returns what has been written, without line breaks.
func (r *Rsyslog) Lines(t testing.TB) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "lines"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		lines = append(lines, strings.TrimSuffix(string(line), "\n"))
	}
	return lines
}
