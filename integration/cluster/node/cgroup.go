// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cgroupFolder has every hierarchy of cgroups of version 1 in a folder, or is the only one, of version 2.
const cgroupFolder = "/sys/fs/cgroup"

// hierarchies returns the folders of the cgroup hierarchies.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(cgroupFolder + "/cgroup.controllers"); err == nil {
		return []string{cgroupFolder}, nil
	}
	found, err := filepath.Glob(cgroupFolder + "/*/cgroup.procs")
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("find the cgroups: none in %s", cgroupFolder)
	}
	var all []string
	for _, file := range found {
		dir := filepath.Dir(file)
		if info, err := os.Lstat(dir); err == nil && info.IsDir() { // others are second names of one
			all = append(all, dir)
		}
	}
	return all, nil
}

// makeCgroup makes a cgroup for a cluster in every hierarchy, and one in it for the node's own programs. The kubelet
// makes the pods' beside it.
func makeCgroup(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range all {
		for _, dir := range []string{filepath.Join(hierarchy, name), filepath.Join(hierarchy, name, nodeName)} {
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("make a cgroup: %w", err)
			}
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // in version 1 they start empty, and nobody can join
				value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
				if err != nil || hierarchy == cgroupFolder {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
					return fmt.Errorf("make a cgroup: %w", err)
				}
			}
		}
	}
	return nil
}

// joinCgroup moves this process among the node's programs.
func joinCgroup(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range all {
		if err := os.WriteFile(filepath.Join(hierarchy, name, nodeName, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("join a cgroup: %w", err)
		}
	}
	return nil
}

// removeCgroup removes a cluster's cgroups, whose processes have ended.
func removeCgroup(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range all {
		root := filepath.Join(hierarchy, name)
		for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
			err := removeTree(root)
			if err == nil {
				break
			}
			if time.Since(began) > 10*time.Second {
				return fmt.Errorf("remove a cgroup: %w", err)
			}
		}
	}
	return nil
}

// removeTree removes a cgroup and those in it, innermost first. Their files are no files: only folders can be removed.
func removeTree(root string) error {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(root, entry.Name())))
		}
	}
	if err != nil {
		return err
	}
	return os.Remove(root)
}

// inCgroup says whether a process of the machine is in a cluster's cgroups.
func inCgroup(pid, name string) bool {
	data, err := os.ReadFile(filepath.Join("/proc", pid, "cgroup"))
	return err == nil && strings.Contains(string(data), ":/"+name+"/")
}
