// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/segment-bridge/segment-bridge/internal/cli"
	"github.com/segment-bridge/segment-bridge/operator/api/v1alpha1"
	"github.com/segment-bridge/segment-bridge/operator/install"
)

// manifestFlags are the resource, and what the operator would find out about the cluster.
type manifestFlags struct {
	file        string
	clusterID   string
	image       string
	openShift   bool
	results     string
	apiServers  []string
	uiNamespace string
	jobs        jobFlags
}

// jobFlags ask for a job beside the hourly one instead.
type jobFlags struct {
	backfill     bool
	since, until instant
	shards       int32
	parallelism  int32
	loaders      int32
}

func (j *jobFlags) register(f *pflag.FlagSet, now func() time.Time) {
	j.since.now, j.until.now = now, now
	f.BoolVar(&j.backfill, "backfill", false, "print a Job that reads the time from --since to --until in shards, and nothing else")
	f.Var(&j.since, "since", "with --backfill: where it begins: RFC 3339, a day, or a span before now such as 720h (default: all of spec.backfill)")
	f.Var(&j.until, "until", "with --backfill: where it ends (default: where the next hourly run begins)")
	f.Int32Var(&j.shards, "shards", install.DefaultShards, "with --backfill: how many slices of equal length there are")
	f.Int32Var(&j.parallelism, "parallelism", 0, "with --backfill: how many pods work at a time (default: 4; 1 with a stage on a volume)")
	f.Int32Var(&j.loaders, "loaders", 0, "print a Job of as many pods that deliver what is staged, and nothing else; for kubectl create")
}

// job returns the job that is asked for; nil if none is.
func (j *jobFlags) job(s install.Settings, now time.Time) (install.Object, error) {
	switch {
	case j.backfill && j.loaders != 0:
		return nil, cli.Usagef("--backfill and --loaders print one Job each: there is something to deliver once the back-fill has begun")
	case j.loaders != 0:
		return install.LoadJob(s, j.loaders)
	case !j.backfill:
		return nil, nil
	}
	b := install.Backfill{Since: j.since.time, Until: j.until.time, Shards: j.shards, Parallelism: j.parallelism}
	switch asked := s.Spec.Backfill; {
	case b.Since.IsZero() && asked == nil:
		return nil, cli.Usagef("--since is required with --backfill, unless the resource has spec.backfill")
	case b.Since.IsZero():
		b = install.BackfillOf(asked)
	}
	return install.BackfillJob(s, b.Complete(s, now), now)
}

func (p program) manifestsCommand() *cobra.Command {
	var m manifestFlags
	c := &cobra.Command{
		Use:   "manifests",
		Short: "Print the objects of an installation, for clusters without the operator",
		Long: `manifests prints, as YAML, the objects that the operator would apply for a SegmentBridge resource. It asks no cluster:
what the operator finds out there is given by flags. What is left to do, such as Secrets to create, stands in comments at the
top. The same flags and the same resource print the same text.

With --backfill it prints a Job that reads a span of the past in as many slices as there are shards, several at the same time,
beside the hourly job, which delivers what they stage; with --loaders one of several pods that help it deliver.`,
		Example: `  segment-bridge manifests -f segmentbridge.yaml --cluster-id "$(kubectl get namespace kube-system -o jsonpath={.metadata.uid})" \
    --results-address tekton-results-api-service.tekton-pipelines.svc.cluster.local:8080 | kubectl apply --server-side -f -
  segment-bridge manifests -f segmentbridge.yaml --backfill --since 2026-01-01 --shards 16 | kubectl apply -f -`,
		RunE: func(c *cobra.Command, _ []string) error {
			settings, err := m.settings(c.InOrStdin())
			if err != nil {
				return err
			}
			objects, comments := []install.Object{nil}, ""
			if objects[0], err = m.jobs.job(settings, p.now()); err == nil && objects[0] == nil {
				comments = remarks(settings)
				objects, err = install.Objects(settings)
			}
			if err != nil {
				return cli.Usage(err)
			}
			text, err := install.YAML(objects)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(p.stdout, "# segment-bridge %s\n%s%s", cli.Version, comments, text)
			return err
		},
	}
	f := c.Flags()
	f.StringVarP(&m.file, "file", "f", "", "YAML file with a SegmentBridge, - for standard input (default: one that says nothing)")
	f.StringVar(&m.clusterID, "cluster-id", "", "ID of the cluster, which salts all hashes (env CLUSTER_ID; spec.clusterID wins)")
	f.StringVar(&m.image, "image", "segment-bridge:"+cli.Version, "image to run (env SEGMENT_BRIDGE_IMAGE; spec.job.image wins)")
	f.BoolVar(&m.openShift, "openshift", false, "the cluster is OpenShift, which chooses user IDs and has a CA for services")
	f.StringVar(&m.results, "results-address", "", "Tekton Results API (env TEKTON_RESULTS_API_ADDR; spec.sources.tektonResults.address wins; default: it is not read)")
	f.StringSliceVar(&m.apiServers, "api-server", nil, "address and port of the API server, repeatable, for the network policy (default: any on ports 443 and 6443)")
	f.StringVar(&m.uiNamespace, "ui-namespace", "", "namespace of the user interface, which gets key and URL too")
	m.jobs.register(f, p.now)
	return c
}

// settings reads the resource and adds what the flags say of the cluster.
func (m *manifestFlags) settings(stdin io.Reader) (install.Settings, error) {
	bridge, err := readBridge(m.file, stdin)
	if err != nil {
		return install.Settings{}, err
	}
	spec := bridge.Spec
	if spec.Enabled != nil && !*spec.Enabled {
		return install.Settings{}, cli.Usagef("spec.enabled is false: there is nothing to install")
	}
	s := install.Settings{
		Spec: spec, ClusterID: cmp.Or(spec.ClusterID, m.clusterID), Image: m.image, OpenShift: m.openShift,
		WriteKey: spec.Segment.WriteKey, URL: spec.Segment.URL, UINamespace: m.uiNamespace,
	}
	if s.ClusterID == "" {
		return install.Settings{}, cli.Usagef("--cluster-id is required, environment variable CLUSTER_ID, unless the resource has spec.clusterID")
	}
	if s.WriteKey == "" && spec.Segment.WriteKeySecretRef == nil {
		s.WriteKey = cli.SegmentWriteKey
	}
	results := spec.Sources.TektonResults
	address, asked := cmp.Or(results.Address, m.results), results.Enabled
	switch {
	case asked != nil && !*asked:
	case address != "":
		s.Results = &install.Results{Address: address, Namespace: install.ServiceNamespace(address)}
	case asked != nil:
		return install.Settings{}, cli.Usagef("spec.sources.tektonResults.enabled is true: say where it is by spec.sources.tektonResults.address or --results-address")
	}
	for _, text := range m.apiServers {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return install.Settings{}, cli.Usagef("--api-server %q is not an address and a port, such as 10.0.0.1:6443", text)
		}
		s.APIServers = append(s.APIServers, a)
	}
	return s, nil
}

// readBridge reads a SegmentBridge. Fields that are not known are errors.
func readBridge(file string, stdin io.Reader) (*v1alpha1.SegmentBridge, error) {
	var (
		text   []byte
		err    error
		bridge v1alpha1.SegmentBridge
	)
	switch file {
	case "":
		return &bridge, nil
	case "-":
		text, err = io.ReadAll(stdin)
	default:
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, cli.Usagef("read SegmentBridge: %w", err)
	}
	if err := yaml.UnmarshalStrict(text, &bridge); err != nil {
		return nil, cli.Usagef("read SegmentBridge: %w", err)
	}
	if bridge.APIVersion != v1alpha1.GroupVersion.String() || bridge.Kind != "SegmentBridge" || bridge.Name != v1alpha1.Name {
		return nil, cli.Usagef("read SegmentBridge: the file is not one SegmentBridge of %s with the name %s", v1alpha1.GroupVersion, v1alpha1.Name)
	}
	return &bridge, nil
}

// remarks says what an administrator has to add to the objects.
func remarks(s install.Settings) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, "# "+format+"\n", args...) }
	create := func(kind, name, from string) {
		say("    kubectl -n %s create %s %s %s", install.Namespace, kind, name, from)
	}
	spec := &s.Spec
	if ref := spec.Segment.WriteKeySecretRef; s.WriteKey == "" && ref != nil {
		say("Events are delivered once Secret %s holds the write key:", ref.Name)
		create("secret generic", ref.Name, "--from-literal="+ref.Key+"=WRITE_KEY")
	} else if s.WriteKey == "" {
		say("Events are staged and not delivered until there is a write key:")
		create("secret generic", install.WriteKeySecret, "--from-literal="+install.WriteKeyKey+"=WRITE_KEY")
	}
	if s3 := spec.Stage.S3; s3 != nil && s3.CredentialsSecret != "" {
		say("The pods do not start without the credentials of the bucket:")
		create("secret generic", s3.CredentialsSecret, "--from-literal=AWS_ACCESS_KEY_ID=ID --from-literal=AWS_SECRET_ACCESS_KEY=KEY")
	}
	if spec.Pseudonyms.Scheme == v1alpha1.SchemeHMAC {
		say("The pods do not start without the key of the pseudonyms. Keep a copy: another key gives every name another pseudonym.")
		create("secret generic", install.PseudonymKeySecret, "--from-file="+install.PseudonymKeyKey+"=FILE   # 32 random bytes")
	}
	if spec.Backfill != nil {
		say("The Job of the back-fill comes apart: add --backfill.")
	}
	if s.Results == nil {
		say("Tekton Results is not read, so runs that were removed between two jobs are missed: set --results-address.")
	} else if ca := spec.Sources.TektonResults.CAConfigMap; ca != "" {
		say("The pods do not start without the CA of Tekton Results:")
		create("configmap", ca, "--from-file=ca.crt=FILE")
	}
	return b.String()
}
