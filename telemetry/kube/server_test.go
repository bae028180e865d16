// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// A cluster is an API server that serves what it is given, as the real one does:
// discovery, pages, the number of what remains, label selectors.
type cluster struct {
	// lists holds JSON objects by path, such as /apis/apps/v1/deployments. What has a
	// path here is in the discovery, objects or not.
	lists map[string][]string
	// generated is the number of objects at a path, for more than a test wants to hold.
	generated map[string]int
	// objects holds other answers by path.
	objects map[string]string
	// status is what is answered instead.
	status map[string]int
	// vague makes the server not say, or say wrongly, how many objects remain.
	vague string
	// expire makes this many continued pages too old.
	expire int

	mu       sync.Mutex
	requests []string
}

func (c *cluster) client(t *testing.T) *kube.Client {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	client, err := kube.NewClient(server.Client(), server.URL, "test")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// inMemory returns a client that reaches the server without a connection, for tests in
// fake time.
func (c *cluster) inMemory(t *testing.T) *kube.Client {
	t.Helper()
	client, err := kube.NewClient(&http.Client{Transport: handled{c}}, "http://cluster", "test")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// handled is the transport to a handler.
type handled struct{ http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requests = append(c.requests, r.URL.RequestURI())
	c.mu.Unlock()
	path := r.URL.Path
	items, isList := c.lists[path]
	n, isGenerated := c.generated[path]
	switch {
	case r.Method != http.MethodGet || r.Header.Get("User-Agent") != "test":
		http.Error(w, "the test expects reads under its name", http.StatusMethodNotAllowed)
	case c.status[path] != 0:
		http.Error(w, `pods "secret-name" is no`, c.status[path])
	case c.objects[path] != "":
		fmt.Fprint(w, c.objects[path])
	case isGenerated:
		c.page(w, r, n, func(i int) string {
			return fmt.Sprintf(`{"metadata":{"name":"pod-%d","namespace":"n"},"spec":{"containers":[{"name":"c"}]}}`, i)
		})
	case isList:
		items = slices.DeleteFunc(slices.Clone(items), func(item string) bool { return !selected(item, r.URL.Query().Get("labelSelector")) })
		c.page(w, r, len(items), func(i int) string { return items[i] })
	case path == "/apis":
		fmt.Fprint(w, c.groups())
	case c.resources(path) != "":
		fmt.Fprint(w, c.resources(path))
	default:
		http.Error(w, `"secret-name" not found`, http.StatusNotFound)
	}
}

func selected(item, selector string) bool {
	if selector == "" {
		return true
	}
	var o struct {
		Metadata struct {
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(item), &o); err != nil {
		panic(err)
	}
	key, value, _ := strings.Cut(selector, "=")
	return o.Metadata.Labels[key] == value
}

func (c *cluster) page(w http.ResponseWriter, r *http.Request, n int, item func(int) string) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 500 {
		http.Error(w, "the test expects a limit", http.StatusBadRequest)
		return
	}
	start := 0
	if next := r.URL.Query().Get("continue"); next != "" {
		if c.expire > 0 {
			c.expire--
			http.Error(w, "too old", http.StatusGone)
			return
		}
		if start, err = strconv.Atoi(next); err != nil {
			http.Error(w, "the test expects its own token", http.StatusBadRequest)
			return
		}
	}
	end, metadata := min(start+limit, n), `"resourceVersion":"7"`
	if end < n {
		metadata += fmt.Sprintf(`,"continue":"%d"`, end)
		switch {
		case c.vague == "zero":
			metadata += `,"remainingItemCount":0`
		case c.vague == "" && r.URL.Query().Get("labelSelector") == "":
			metadata += fmt.Sprintf(`,"remainingItemCount":%d`, n-end)
		}
	}
	fmt.Fprintf(w, `{"kind":"List","apiVersion":"v1","metadata":{%s},"items":[`, metadata)
	for i := start; i < end; i++ {
		if i > start {
			fmt.Fprint(w, ",")
		}
		fmt.Fprint(w, item(i))
	}
	fmt.Fprint(w, "]}")
}

// paths returns all paths of lists.
func (c *cluster) paths() []string {
	return slices.Sorted(maps.Keys(c.lists))
}

func (c *cluster) groups() string {
	type version struct {
		Version string `json:"version"`
	}
	type group struct {
		Name      string    `json:"name"`
		Versions  []version `json:"versions"`
		Preferred version   `json:"preferredVersion"`
	}
	var groups []group
	for _, path := range c.paths() {
		parts := strings.Split(path, "/")
		if parts[1] != "apis" {
			continue
		}
		name, v := parts[2], version{parts[3]}
		if i := slices.IndexFunc(groups, func(g group) bool { return g.Name == name }); i >= 0 {
			groups[i].Versions = append(groups[i].Versions, v)
			continue
		}
		groups = append(groups, group{name, []version{v}, v})
	}
	b, err := json.Marshal(map[string]any{"kind": "APIGroupList", "groups": groups})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (c *cluster) resources(root string) string {
	var resources []map[string]string
	for _, path := range append(c.paths(), "/api/v1/pods", "/api/v1/services", "/api/v1/nodes", "/api/v1/namespaces") {
		if at := strings.LastIndexByte(path, '/'); path[:at] == root {
			resources = append(resources, map[string]string{"name": path[at+1:]})
		}
	}
	if resources == nil {
		return ""
	}
	b, err := json.Marshal(map[string]any{"kind": "APIResourceList", "resources": resources})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// times returns n times the same object.
func times(n int, object string) []string { return slices.Repeat([]string{object}, n) }

// collect returns what a provider finds out, exactly, by the name of the property.
func collect(t *testing.T, provider telemetry.Provider) map[string]string {
	t.Helper()
	names, err := telemetry.NewKeyedPseudonymizer("the cluster's ID", []byte("a key that stays in the cluster"))
	if err != nil {
		t.Fatal(err)
	}
	inventory, err := telemetry.NewInventory(0, telemetry.Exact(provider))
	if err != nil {
		t.Fatal(err)
	}
	properties, err := inventory.Collect(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range properties {
		found[p.Name] = p.Value.String()
	}
	return found
}

// expect compares the properties in want with those that were found; "" is one that
// must be missing.
func expect(t *testing.T, found, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if found[name] != want[name] {
			t.Errorf("%s = %q, want %q", name, found[name], want[name])
		}
	}
	if t.Failed() {
		t.Logf("all that was found: %v", found)
	}
}

// forbidding is a server that allows nothing.
type forbidding struct{}

func (forbidding) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusForbidden)
}

func (f forbidding) client(t *testing.T) *kube.Client {
	t.Helper()
	client, err := kube.NewClient(&http.Client{Transport: handled{f}}, "http://cluster", "test")
	if err != nil {
		t.Fatal(err)
	}
	return client
}
