// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/segment-bridge/segment-bridge/integration/servers/binaries"
	"github.com/segment-bridge/segment-bridge/integration/world"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// A gatewayWorld is a cluster with Kong's kinds and the Gateway API, and the places to which the gateway reports.
type gatewayWorld struct {
	*lab
	path   string // of the program
	env    []string
	hec    *splunktest.Receiver
	hecURL string
	lines  *world.Rsyslog
}

func newGatewayWorld(t *testing.T) *gatewayWorld {
	t.Helper()
	w := &gatewayWorld{lab: &lab{world.NewControlPlane(t), nil}, path: example(t, "gateway"), hec: splunktest.New(splunktest.Options{}), lines: world.NewRsyslog(t)}
	address, stop, err := w.hec.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	w.hecURL = address
	const kong = "configuration.konghq.com"
	w.define(t, append(gatewayAPI(t, binaries.GatewayAPIModule, "standard"),
		definition("kongplugins."+kong, "KongPlugin", "Namespaced", "v1"), definition("kongclusterplugins."+kong, "KongClusterPlugin", "Cluster", "v1"))...)
	w.ServiceAccount(t, "gateway", "gateway")
	w.ServiceAccount(t, "gateway", "administrator")
	w.Bind(t, "cluster-admin", "gateway", "administrator")
	objects := routesIn("gateway.networking.k8s.io/v1", "HTTPRoute", 5, map[string]any{})
	for i, plugin := range []string{"rate-limiting", "cors", "rate-limiting", "acme-secret-plugin"} {
		objects = append(objects, having(thing(kong+"/v1", "KongPlugin", "shop", fmt.Sprintf("plugin-%d", i)), "plugin", plugin))
	}
	for i := range 3 {
		objects = append(objects, having(thing("networking.k8s.io/v1", "Ingress", "shop", fmt.Sprintf("ingress-%d", i)), "spec", map[string]any{
			"defaultBackend": map[string]any{"service": map[string]any{"name": "s", "port": map[string]any{"number": int64(80)}}},
		}))
	}
	w.Namespace(t, "shop", nil)
	w.ApplyObjects(t, objects...)

	admin := []string{"KUBECONFIG=" + w.Kubeconfig(t, w.Token(t, "gateway", "administrator", time.Hour))}
	w.grant(t, w.print(t, admin, "--rules"))
	w.env = []string{"KUBECONFIG=" + w.Kubeconfig(t, w.Token(t, "gateway", "gateway", time.Hour)), "SPLUNK_HEC_TOKEN=" + splunktest.Token}
	return w
}

// grant gives the gateway the rights that it says its report needs, and those that it needs for itself.
func (w *gatewayWorld) grant(t *testing.T, printed []byte) {
	t.Helper()
	var rules []kube.Rule
	if err := json.Unmarshal(printed, &rules); err != nil {
		t.Fatal(err)
	}
	var all []any
	for _, r := range append(rules, kube.Rule{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses"}, Verbs: []string{"list", "watch"}}) {
		all = append(all, asMap(t, r))
	}
	own := []any{
		map[string]any{"apiGroups": []any{""}, "resources": []any{"configmaps"}, "verbs": []any{"get", "create", "update"}},
		map[string]any{"apiGroups": []any{"coordination.k8s.io"}, "resources": []any{"leases"}, "verbs": []any{"get", "create", "update"}},
		map[string]any{"apiGroups": []any{"", "events.k8s.io"}, "resources": []any{"events"}, "verbs": []any{"create", "patch"}},
	}
	subjects := []any{map[string]any{"kind": "ServiceAccount", "namespace": "gateway", "name": "gateway"}}
	w.ApplyObjects(t,
		having(thing("rbac.authorization.k8s.io/v1", "ClusterRole", "", "gateway"), "rules", all),
		having(thing("rbac.authorization.k8s.io/v1", "Role", "gateway", "gateway"), "rules", own),
		having(having(thing("rbac.authorization.k8s.io/v1", "RoleBinding", "gateway", "gateway"), "subjects", subjects),
			"roleRef", map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "gateway"}),
	)
	w.Bind(t, "gateway", "gateway", "gateway")
	w.await(t, "the gateway's rights", func() (bool, error) {
		one, err := w.may(t.Context(), "gateway", "gateway", map[string]any{"group": "configuration.konghq.com", "resource": "kongplugins", "verb": "list"})
		two, err2 := w.may(t.Context(), "gateway", "gateway", map[string]any{"group": "coordination.k8s.io", "resource": "leases", "verb": "create", "namespace": "gateway"})
		return one && two, errors.Join(err, err2)
	})
}

// print runs the gateway with a flag that prints something, and returns what.
func (w *gatewayWorld) print(t *testing.T, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.path, args...)
	cmd.Env = append(env, "HOME=/nonexistent")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gateway %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// start starts a replica that reports every other second.
func (w *gatewayWorld) start(t *testing.T, args ...string) *embedder {
	return startExample(t, w.path, w.env, append([]string{"--period=2s", "--feature-gates=fill-ids", "--splunk-url=" + w.hecURL}, args...)...)
}

// reports returns what Splunk has, by the signal; without one, all.
func (w *gatewayWorld) reports(t *testing.T, signal string) (found []map[string]any) {
	t.Helper()
	for _, e := range w.hec.Events() {
		var call struct{ Properties map[string]any }
		if err := json.Unmarshal(e.Event, &call); err != nil {
			t.Fatal(err)
		}
		if signal == "" || call.Properties["signal"] == signal {
			found = append(found, call.Properties)
		}
	}
	return found
}

func (w *gatewayWorld) last(t *testing.T) map[string]any {
	t.Helper()
	all := w.reports(t, "")
	return all[len(all)-1]
}

// TestGatewayExample runs a program of the shape of Kong's ingress controller through what its users may do.
func TestGatewayExample(t *testing.T) {
	w := newGatewayWorld(t)
	t.Run("nothing leaves while it is off", w.testOff)
	t.Run("an upgrade waits for consent", w.testUpgrade)
	t.Run("one of two replicas reports", w.testReplicas)
}

// testOff has a replica run under each way to say no, and then under a change of mind.
func (w *gatewayWorld) testOff(t *testing.T) {
	setting(t, w.Cluster, "gateway", "gateway-settings", "off")
	asked := w.print(t, w.env, "--preview", "--feature-gates=fill-ids")
	var preview struct{ Properties map[string]any }
	if err := json.Unmarshal(asked, &preview); err != nil {
		t.Fatal(err)
	}
	gateway := w.start(t)
	until(t, "work", func() bool {
		return strings.Contains(gateway.log(), "Starting workers") && strings.Contains(gateway.log(), "telemetry is off")
	})
	if w.hec.Report().Requests > 0 {
		t.Error("Splunk was dialled")
	}
	setting(t, w.Cluster, "gateway", "gateway-settings", "on")
	until(t, "a report after telemetry was turned on", func() bool { return len(w.reports(t, telemetry.PeriodicSignal)) >= 2 })
	if n := len(w.reports(t, "start")); n > 0 {
		t.Errorf("%d reports of a start that was before consent", n)
	}
	setting(t, w.Cluster, "gateway", "gateway-settings", "off")
	until(t, "the news that telemetry is off", func() bool { return strings.Count(gateway.log(), "telemetry is off") == 2 })
	n := w.hec.Report().Requests
	time.Sleep(5 * time.Second) // two periods: there is nothing to wait for
	if now := w.hec.Report().Requests; now != n {
		t.Errorf("%d requests after telemetry was turned off", now-n)
	}
	gateway.stop(t)

	// What was reported is what the preview showed, the signal and the latencies of a program that works aside.
	got := w.last(t)
	for _, name := range []string{"signal", "configurationPushP50", "configurationPushP95", "configurationPushP50Outcome", "configurationPushP95Outcome"} {
		delete(preview.Properties, name)
		if strings.HasSuffix(name, "Outcome") == (got[name] != nil) {
			t.Errorf("%s is %v", name, got[name])
		}
		delete(got, name)
	}
	if a, b := fmt.Sprint(preview.Properties), fmt.Sprint(got); a != b {
		t.Errorf("preview  %s\nreported %s", a, b)
	}
	for name, want := range map[string]any{
		"kongPluginCount": 2.0, "kongCustomPluginCount": 1.0, "kongPlugins": "map[cors:1 rate-limiting:2]", "httpRouteCount": 5.0, "ingressCount": 2.0, "featureFlags": "[fill-ids]",
	} {
		if fmt.Sprint(got[name]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	// The controller's own flag is not overruled.
	setting(t, w.Cluster, "gateway", "gateway-settings", "on")
	n = w.hec.Report().Requests
	refused := w.start(t, "--anonymous-reports=false")
	until(t, "work", func() bool {
		return strings.Contains(refused.log(), "Starting workers") && strings.Contains(refused.log(), "telemetry is off")
	})
	refused.stop(t)
	if now := w.hec.Report().Requests; now != n {
		t.Errorf("%d requests although the flag says no", now-n)
	}
}

// testUpgrade starts a release that has a metric which the plan agreed to does not have, and another for another reason.
func (w *gatewayWorld) testUpgrade(t *testing.T) {
	plans := w.Dynamic.Resource(resourceOf(thing("v1", "ConfigMap", "", ""))).Namespace("gateway")
	kept, err := plans.Get(t.Context(), "gateway-telemetry-plan", metav1.GetOptions{})
	if err != nil {
		t.Fatalf("the plan was not remembered: %v", err)
	}
	text, _, err := unstructured.NestedString(kept.Object, "data", "plan.json")
	if err != nil {
		t.Fatal(err)
	}
	current, err := telemetry.ParsePlan([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if printed := string(w.print(t, w.env, "--plan")); !strings.Contains(printed, "Plan hash: `"+current.Hash()+"`") {
		t.Errorf("the plan that is printed is not %s", current.Hash())
	}
	older, err := telemetry.ParsePlan([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	inventory := &older.Events[0]
	inventory.Properties = slices.DeleteFunc(inventory.Properties, func(p telemetry.PropertySpec) bool { return strings.HasPrefix(p.Name, "configurationPushP95") })
	for i, p := range inventory.Properties {
		if p.Name == "kongPluginCount" {
			inventory.Properties[i].Reason = "Another reason."
		}
	}
	w.ApplyObjects(t, having(thing("v1", "ConfigMap", "gateway", "gateway-telemetry-plan"), "data", map[string]any{"plan.json": string(older.JSON())}))

	before := len(w.reports(t, "start"))
	gateway := w.start(t)
	until(t, "the report of the start", func() bool { return len(w.reports(t, "start")) > before })
	got := w.last(t)
	for _, name := range []string{"configurationPushP95", "configurationPushP95Outcome", "kongPluginCount", "kongPluginCountOutcome"} {
		if got[name] != nil {
			t.Errorf("%s is %v before anybody agreed", name, got[name])
		}
	}
	if got["httpRouteCount"] != 5.0 || !strings.Contains(gateway.log(), "wait until somebody agrees") {
		t.Errorf("reported %v\n%s", got, gateway.log())
	}
	setting(t, w.Cluster, "gateway", "gateway-settings", current.Hash())
	until(t, "a report with what is new", func() bool { return w.last(t)["configurationPushP95"] != nil && w.last(t)["kongPluginCount"] == 2.0 })
	gateway.stop(t)
}

// testReplicas reports to Splunk and, in lines, to rsyslog. The replica that does not lead takes over.
func (w *gatewayWorld) testReplicas(t *testing.T) {
	w.lines.Start(t)
	before := len(w.reports(t, "start"))
	args := []string{"--period=1h", "--lines-address=" + w.lines.Address, "--lines-ca-file=" + w.lines.CAFile}
	leader := w.start(t, args...)
	until(t, "the leader's report", func() bool { return len(w.reports(t, "start")) == before+1 })
	reported := time.Now().Unix()
	second := w.start(t, args...)
	until(t, "a second replica", func() bool { return strings.Contains(second.log(), "ttempting to acquire leader lease") })
	until(t, "another second, which tells the reports apart", func() bool { return time.Now().Unix() > reported })
	leader.stop(t)
	until(t, "the report of the replica that takes over", func() bool { return len(w.reports(t, "start")) > before+1 })
	second.stop(t)
	if n := len(w.reports(t, "start")); n != before+2 {
		t.Errorf("%d reports of two starts", n-before)
	}
	w.lines.Stop()
	ids := map[string]bool{}
	for _, line := range w.lines.Lines(t) {
		ids[checkLine(t, line)] = true
	}
	for _, e := range w.hec.Events()[len(w.hec.Events())-2:] {
		if !ids[e.MessageID] || len(ids) != 2 {
			t.Errorf("%s is not among the lines %v", e.MessageID, ids)
		}
	}
}
