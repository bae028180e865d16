// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/segment-bridge/segment-bridge/extract"
	"github.com/segment-bridge/segment-bridge/extract/dir"
	"github.com/segment-bridge/segment-bridge/extract/kube"
	"github.com/segment-bridge/segment-bridge/extract/results"
	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/load"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/identity"
	"github.com/segment-bridge/segment-bridge/telemetry/record"
)

const sourceUsage = "what to read, repeatable: kube (what happened in the cluster), inventory (what the cluster is like), results (Tekton Results), dir:PATH (saved objects)"

var defaultSources = []string{"kube", "results"}

// selection is one value of --source.
type selection struct {
	kind string // kube, inventory, results or dir
	path string // of dir
}

// parseSources reads the values of --source. The cluster comes first and Tekton
// Results after it, in whatever order they are given: a run that is pruned between
// the two reads is then seen at least once.
func parseSources(values []string) ([]selection, error) {
	var kubes, inventories, others, archives []selection
	for _, value := range values {
		kind, path, _ := strings.Cut(value, ":")
		switch {
		case value == "kube":
			kubes = []selection{{kind: kind}}
		case value == "inventory":
			inventories = []selection{{kind: kind}}
		case value == "results":
			archives = []selection{{kind: kind}}
		case kind == "dir" && path != "":
			others = append(others, selection{kind, path})
		default:
			return nil, cli.Usagef("--source %q is not known: use kube, inventory, results or dir:PATH", value)
		}
	}
	all := slices.Concat(kubes, inventories, others, archives)
	if len(all) == 0 {
		return nil, cli.Usagef("no source is given: use --source kube, --source inventory, --source results or --source dir:PATH")
	}
	return all, nil
}

// sourceNames returns the names under which the selected sources report, of those that can
// be asked for a time that has passed. What the cluster was like when it was not looked at
// cannot: that makes no window longer.
func sourceNames(selected []selection) []record.SourceName {
	var names []record.SourceName
	for _, s := range selected {
		switch s.kind {
		case "kube":
			names = append(names, record.SourcePipelineRuns, record.SourceComponents, record.SourceNamespaces, record.SourceInstallations)
		case "results":
			names = append(names, record.SourceResults)
		case "dir":
			names = append(names, record.SourceDir)
		}
	}
	return names
}

// secret is a flag whose value is never shown.
type secret struct{ load.Secret }

func (s *secret) String() string         { return "" }
func (s *secret) Type() string           { return "secret" }
func (s *secret) Set(value string) error { s.Secret = load.NewSecret(value); return nil }

// sourceFlags choose what to extract from where.
type sourceFlags struct {
	sources       []string
	kubeconfig    string
	clusterID     string
	konflux       string
	kubernetes    string
	keyFile       string
	timeout       time.Duration
	strict        bool
	resultsToken  secret
	resultsConfig results.Config
}

func (s *sourceFlags) register(f *pflag.FlagSet) {
	f.StringSliceVar(&s.sources, "source", defaultSources, sourceUsage)
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file (default: KUBECONFIG, the pod's service account, ~/.kube/config)")
	f.StringVar(&s.clusterID, "cluster-id", "", "ID of the cluster, which salts all hashes (env CLUSTER_ID; default: read from the cluster)")
	f.StringVar(&s.konflux, "konflux-version", "", "version of the product (env KONFLUX_VERSION; default: read from the cluster)")
	f.StringVar(&s.kubernetes, "kubernetes-version", "", "version of Kubernetes (env KUBERNETES_VERSION; default: read from the cluster)")
	f.StringVar(&s.keyFile, "pseudonym-key-file", "", "file with a secret key; names are then hidden by HMAC-SHA-256 instead of SHA-256")
	f.DurationVar(&s.timeout, "source-timeout", 10*time.Minute, "how long reading one source may take")
	f.BoolVar(&s.strict, "strict", false, "stop when a source cannot be read, with exit code 3, instead of going on with the others")
	r := &s.resultsConfig
	f.StringVar(&r.Address, "results-address", "", "Tekton Results API: host:port, https://, http://, grpcs:// or grpc:// (env TEKTON_RESULTS_API_ADDR)")
	f.StringVar(&r.Namespace, "results-namespace", "-", "read the results of one namespace alone; - is all (env TEKTON_NAMESPACE)")
	f.StringVar(&r.CAFile, "results-ca-file", "", "certificates that the Tekton Results API is verified with (default: the system's and the service CA)")
	f.StringVar(&r.ServerName, "results-server-name", "", "name in the certificate of the Tekton Results API, if it is not the host")
	f.BoolVar(&r.Insecure, "results-insecure", false, "do not verify the certificate of the Tekton Results API")
	f.StringVar(&r.TokenFile, "results-token-file", "", "file with the bearer token, read again when it changes (env SA_TOKEN_PATH; default: the pod's service account)")
	f.Var(&s.resultsToken, "results-token", "bearer token; set it by the environment variable TEKTON_RESULTS_TOKEN, where others cannot see it")
	f.IntVar(&r.PageSize, "results-page-size", results.DefaultPageSize, "records a page, 5 to 10000")
}

// extraction is all that reading a cluster takes.
type extraction struct {
	names   *telemetry.Pseudonymizer
	sources []extract.Source
	report  record.Report // without window and outcomes
}

// prepare finds out which cluster this is, and builds the sources.
func (s *sourceFlags) prepare(ctx context.Context, now func() time.Time, log *slog.Logger) (*extraction, error) {
	selected, err := parseSources(s.sources)
	if err != nil {
		return nil, err
	}
	client, err := s.client(selected)
	if err != nil {
		return nil, err
	}
	id, err := s.identify(ctx, client, log)
	if err != nil {
		return nil, err
	}
	names, err := s.pseudonymizer(id)
	if err != nil {
		return nil, err
	}
	x := &extraction{names: names, report: record.Report{
		Producer: "segment-bridge " + cli.Version, Cluster: names.Cluster(),
		KonfluxVersion: id.KonfluxVersion, KubernetesVersion: id.KubernetesVersion,
		Scheme: names.Scheme(), KeyID: names.KeyID(),
	}}
	for _, sel := range selected {
		switch sel.kind {
		case "kube":
			x.sources = append(x.sources, client.Sources(names)...)
		case "inventory":
			source, err := client.inventory(names, now)
			if err != nil {
				return nil, err
			}
			x.sources = append(x.sources, source)
		case "dir":
			x.sources = append(x.sources, dir.New(sel.path, names))
		case "results":
			source, err := results.New(s.resultsSettings(), names)
			if err != nil {
				return nil, cli.Usage(err)
			}
			x.sources = append(x.sources, source)
		}
	}
	return x, nil
}

// identify finds out which cluster this is; client may be nil.
func (s *sourceFlags) identify(ctx context.Context, client *clusterClient, log *slog.Logger) (identity.Identity, error) {
	var api identity.Getter
	if client != nil {
		api = client
	}
	id, err := identity.Resolve(ctx, api, identity.Options{
		ClusterID: s.clusterID, KonfluxVersion: s.konflux, KubernetesVersion: s.kubernetes, Logger: log,
	})
	if err != nil {
		return id, fmt.Errorf("pass --cluster-id or set CLUSTER_ID, or: %w", err)
	}
	return id, nil
}

// serviceAccountToken is where a pod finds its token.
const serviceAccountToken = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// resultsSettings returns how to read Tekton Results: with the pod's own token,
// unless the flags name another.
func (s *sourceFlags) resultsSettings() results.Config {
	config := s.resultsConfig
	config.Version, config.Token = cli.Version, s.resultsToken
	if s.resultsToken.Reveal() == "" && config.TokenFile == "" {
		if _, err := os.Stat(serviceAccountToken); err == nil {
			config.TokenFile = serviceAccountToken
		}
	}
	return config
}

// client returns a client of the cluster, or nil when nothing is asked of it.
func (s *sourceFlags) client(selected []selection) (*clusterClient, error) {
	needed := s.clusterID == ""
	for _, sel := range selected {
		needed = needed || sel.kind == "kube" || sel.kind == "inventory"
		if sel.kind == "dir" && s.clusterID == "" {
			return nil, cli.Usagef("--cluster-id is required with --source dir: saved objects do not say which cluster they come from")
		}
	}
	if !needed {
		return nil, nil
	}
	config, err := kube.Config(s.kubeconfig)
	if err != nil {
		return nil, cli.Usage(err)
	}
	client, err := kube.NewClient(config, cli.Version)
	if err != nil {
		return nil, cli.Usage(err)
	}
	return &clusterClient{client, config}, nil
}

func (s *sourceFlags) pseudonymizer(id identity.Identity) (*telemetry.Pseudonymizer, error) {
	var key []byte
	if s.keyFile != "" {
		var err error
		if key, err = os.ReadFile(s.keyFile); err != nil {
			return nil, cli.Usagef("read pseudonym key: %w", err)
		}
		if key == nil {
			key = []byte{}
		}
	}
	names, err := telemetry.NewPseudonymizer(id.ClusterID.Reveal())
	if key != nil {
		names, err = telemetry.NewKeyedPseudonymizer(id.ClusterID.Reveal(), key)
	}
	if err != nil {
		return nil, cli.Usage(err)
	}
	return names, nil
}

// sourceNames returns the names under which the sources report, as [sourceNames] does.
func (x *extraction) sourceNames() []record.SourceName {
	var names []record.SourceName
	for _, source := range x.sources {
		if name := source.Name(); name != record.SourceInventory {
			names = append(names, name)
		}
	}
	return names
}
