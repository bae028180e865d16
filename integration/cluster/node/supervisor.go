// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A supervisor keeps programs running, as a service manager does on another machine: one that ends is started again. It
// is process 1, so it also buries the children that nobody else waits for.
type supervisor struct {
	mu      sync.Mutex
	running map[int]chan struct{} // closed when the process has ended
	pids    map[string]int        // by the name of the program
}

// A program runs until the node goes down.
type program struct {
	name string
	args []string
	user *syscall.Credential // nil is root
}

func newSupervisor() *supervisor {
	s := &supervisor{running: map[int]chan struct{}{}, pids: map[string]int{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			s.reap()
		}
	}()
	return s
}

// keep runs a program for ever.
func (s *supervisor) keep(p program) {
	go func() {
		for {
			ended, err := s.start(p)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
			} else {
				<-ended
				fmt.Fprintf(os.Stderr, "%s ended; its log is %s\n", p.name, p.log())
			}
			time.Sleep(300 * time.Millisecond)
		}
	}()
}

// kill ends the named programs without a chance to say goodbye. They are started again.
func (s *supervisor) kill(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if pid, ok := s.pids[name]; ok {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		}
	}
}

func (p program) log() string { return "/var/log/" + p.name + ".log" }

func (s *supervisor) start(p program) (ended <-chan struct{}, err error) {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	defer null.Close()
	s.mu.Lock() // so that it is known before it is reaped
	defer s.mu.Unlock()
	process, err := os.StartProcess(p.args[0], p.args, &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{null, log, log},
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: p.user},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	done := make(chan struct{})
	s.running[process.Pid], s.pids[p.name] = done, process.Pid
	return done, process.Release()
}

func (s *supervisor) reap() {
	for {
		s.mu.Lock()
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if done, ok := s.running[pid]; ok {
			close(done)
			delete(s.running, pid)
			for name, p := range s.pids {
				if p == pid {
					delete(s.pids, name)
				}
			}
		}
		s.mu.Unlock()
		if pid <= 0 && err != syscall.EINTR {
			return
		}
	}
}

// tool returns where a program of the node's own is.
func tool(name string) string { return filepath.Join("/var/lib/kubernetes/bin", name) }
