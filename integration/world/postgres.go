// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Database is a PostgreSQL server for one test, on 127.0.0.1. Its superuser "postgres" needs no password. It forgets
// what it had not written when the machine stops, which makes it fast.
type Database struct {
	Port int

	t    testing.TB
	bin  string // folder of PostgreSQL's programs
	dir  string
	user *syscall.Credential // who runs it; nil is the user of the test

	mu      sync.Mutex
	running *process
}

// Postgres starts a PostgreSQL server.
func Postgres(t testing.TB) *Database {
	t.Helper()
	d, err := newDatabase(t)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	report(t, filepath.Join(d.dir, "postgres.log"))
	d.Start()
	return d
}

func newDatabase(t testing.TB) (*Database, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return nil, errors.New("find PostgreSQL: nothing in /usr/lib/postgresql; run integration/install.sh")
	}
	d := &Database{t: t, bin: filepath.Dir(slices.Max(found))}
	if d.Port, err = freePort(); err != nil {
		return nil, err
	}
	if d.dir, err = newFolder("postgres"); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		if d.user, err = credential("postgres"); err != nil {
			return nil, err
		}
		if err := os.Chown(d.dir, int(d.user.Uid), int(d.user.Gid)); err != nil {
			return nil, fmt.Errorf("hand a folder to postgres: %w", err)
		}
	}
	initdb := d.command("initdb", "-D", filepath.Join(d.dir, "data"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("run initdb: %w: %s", err, out)
	}
	return d, nil
}

// credential returns the identity of a system user: PostgreSQL refuses to be root.
func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("find who runs PostgreSQL: run integration/install.sh: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("find who runs PostgreSQL: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// command returns one of PostgreSQL's programs, to be run as the server's user.
func (d *Database) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(d.bin, name), args...)
	cmd.Dir = d.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.user}
	return cmd
}

// Start starts the server again after Stop, with what it held, and returns when it answers. Like Stop, it may be called
// from any goroutine, and marks the test as failed when it does not work.
func (d *Database) Start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running != nil {
		return
	}
	cmd := d.command("postgres", "-D", filepath.Join(d.dir, "data"), "-p", strconv.Itoa(d.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "full_page_writes=off")
	p, err := start(d.dir, "postgres", cmd)
	if err != nil {
		d.t.Error(err)
		return
	}
	d.running = p
	if err := p.await(func(ctx context.Context) error {
		_, err := d.query(ctx, "postgres", "SELECT 1")
		return err
	}); err != nil {
		d.t.Error(err)
	}
}

// Stop ends the server at once, as a crash would, and with it all connections. What it held is kept for Start.
func (d *Database) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.running != nil {
		d.running.stop(syscall.SIGQUIT)
		d.running = nil
	}
}

// query runs SQL in a database, in one transaction, and returns what psql prints: rows a line each, columns divided by |,
// and the command tags.
func (d *Database) query(ctx context.Context, database, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "psql"), "--no-psqlrc", "--no-align", "--tuples-only",
		"--single-transaction", "--set", "ON_ERROR_STOP=1",
		"--host", "127.0.0.1", "--port", strconv.Itoa(d.Port), "--username", "postgres", "--dbname", database)
	cmd.Stdin = strings.NewReader(sql)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run psql: %w: %s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// create makes an empty database.
func (d *Database) create(ctx context.Context, database string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "createdb"), "--host", "127.0.0.1", "--port", strconv.Itoa(d.Port), "--username", "postgres", database)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("create a database: %w: %s", err, out)
	}
	return nil
}
