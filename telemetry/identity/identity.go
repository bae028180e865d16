// SPDX-License-Identifier: Apache-2.0

// Package identity finds out which cluster is read, and which versions run there.
//
// All pseudonyms are salted with the cluster's ID. If it changed, every name
// would get a new pseudonym and no one could tell. So when a place that may hold the
// ID cannot be read, that is an error, and never a reason to try the next.
package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/segment-bridge/segment-bridge/telemetry"
)

// A Getter reads objects of the Kubernetes API.
type Getter interface {
	// Get decodes the JSON of the object at path, such as /api/v1/namespaces/default, into object. Its error is
	// [fs.ErrNotExist] when there is no such object and [fs.ErrPermission] when it may not be read. Its text becomes
	// part of errors and logs: it holds nothing that the server said.
	Get(ctx context.Context, path string, object any) error
}

// Options are what is known beforehand; what is set here is not looked up.
type Options struct {
	ClusterID         string
	KonfluxVersion    string
	KubernetesVersion string
	// Logger gets a warning when versions cannot be read; nil drops it.
	Logger *slog.Logger
}

// A ClusterID is the salt of a cluster's pseudonyms. It does not show: however it is printed, logged or marshalled, even
// as a field of something else, its text comes out of Reveal alone.
type ClusterID struct{ text *string }

// NewClusterID hides an ID.
func NewClusterID(text string) ClusterID { return ClusterID{&text} }

// Reveal returns the ID, for what makes pseudonyms of it or hands it to a program that does. It is "" for the zero ID.
func (c ClusterID) Reveal() string {
	if c.text == nil {
		return ""
	}
	return *c.text
}

const hidden = "[cluster ID]"

// Format implements [fmt.Formatter] for every verb.
func (ClusterID) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(hidden)) }

// MarshalText implements [encoding.TextMarshaler], which JSON and slog use as well.
func (ClusterID) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// An Identity says which cluster it is.
type Identity struct {
	// ClusterID is never empty.
	ClusterID ClusterID
	// KonfluxVersion and KubernetesVersion are zero when they are not known, or do not
	// look like versions.
	KonfluxVersion, KubernetesVersion telemetry.Version
}

// Resolve finds out the identity of the cluster behind api. Its ID is the one given in
// options, else the one that the product publishes (ConfigMap konflux-public-info), else
// OpenShift's, else the UID of namespace kube-system. The versions are those in options,
// else those that the product publishes; that of Kubernetes is else the API server's.
//
// With no api (nil), there is only what options say.
func Resolve(ctx context.Context, api Getter, options Options) (Identity, error) {
	if api == nil {
		if options.ClusterID == "" {
			return Identity{}, errors.New("find the cluster ID: there is no cluster to ask, and none is given")
		}
		return identity(options.ClusterID, options.KonfluxVersion, options.KubernetesVersion), nil
	}
	logger := options.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	id, konflux, kubernetes := options.ClusterID, options.KonfluxVersion, options.KubernetesVersion
	if id == "" || konflux == "" || kubernetes == "" {
		info, err := readInfo(ctx, api)
		switch {
		case err == nil:
			id, konflux, kubernetes = first(id, info.ClusterID), first(konflux, info.KonfluxVersion), first(kubernetes, info.KubernetesVersion)
		case id == "":
			return Identity{}, fmt.Errorf("find the cluster ID: %w", err)
		default:
			logger.WarnContext(ctx, "published versions cannot be read", slog.Any("error", err))
		}
	}
	if id == "" {
		found, err := Cluster(ctx, api)
		if err != nil {
			return Identity{}, err
		}
		id = found.Reveal()
	}
	if kubernetes == "" {
		var version struct {
			GitVersion string `json:"gitVersion"`
		}
		if err := api.Get(ctx, "/version", &version); err != nil {
			logger.WarnContext(ctx, "version of Kubernetes cannot be read", slog.Any("error", err))
		}
		kubernetes = version.GitVersion
	}
	return identity(id, konflux, kubernetes), nil
}

// Cluster returns the ID of the cluster behind api for programs that no product publishes one for: that of OpenShift, else
// the UID of namespace kube-system.
func Cluster(ctx context.Context, api Getter) (ClusterID, error) {
	id, err := clusterID(ctx, api)
	if err != nil {
		return ClusterID{}, fmt.Errorf("find the cluster ID: %w", err)
	}
	return NewClusterID(id), nil
}

// identity drops versions that do not look like versions.
func identity(id, konflux, kubernetes string) Identity {
	i := Identity{ClusterID: NewClusterID(id)}
	i.KonfluxVersion, _ = telemetry.ParseVersion(konflux)
	i.KubernetesVersion, _ = telemetry.ParseVersion(kubernetes)
	return i
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// An info is what is read of info.json, which the product's operator publishes.
type info struct {
	ClusterID         string `json:"clusterId"`
	KonfluxVersion    string `json:"konfluxVersion"`
	KubernetesVersion string `json:"kubernetesVersion"`
}

// readInfo returns what is published; nothing when that is nothing.
func readInfo(ctx context.Context, api Getter) (info, error) {
	const path = "/api/v1/namespaces/konflux-info/configmaps/konflux-public-info"
	var published struct {
		Data map[string]string `json:"data"`
	}
	var i info
	if err := api.Get(ctx, path, &published); errors.Is(err, fs.ErrNotExist) {
		return i, nil
	} else if err != nil {
		return i, hint(err, "allow to get configmap konflux-public-info in namespace konflux-info")
	}
	text, ok := published.Data["info.json"]
	if !ok {
		return i, nil
	}
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		return info{}, errors.New("read info.json of configmap konflux-public-info in namespace konflux-info: it is not a JSON object with texts")
	}
	return i, nil
}

// clusterID returns OpenShift's ID of the cluster, else the UID of kube-system, which
// lives as long as the cluster.
func clusterID(ctx context.Context, api Getter) (string, error) {
	openShift := true
	if err := api.Get(ctx, "/apis/config.openshift.io", &struct{}{}); errors.Is(err, fs.ErrNotExist) {
		openShift = false
	} else if err != nil {
		return "", hint(err, "allow to get /apis/config.openshift.io, as every authenticated user may by default")
	}
	if openShift {
		var version struct {
			Spec struct {
				ClusterID string `json:"clusterID"`
			} `json:"spec"`
		}
		if err := api.Get(ctx, "/apis/config.openshift.io/v1/clusterversions/version", &version); err != nil {
			return "", hint(err, "allow to get clusterversions.config.openshift.io")
		}
		return known(version.Spec.ClusterID, "read spec.clusterID of clusterversion version")
	}
	var namespace struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	if err := api.Get(ctx, "/api/v1/namespaces/kube-system", &namespace); err != nil {
		return "", hint(err, "allow to get namespace kube-system")
	}
	return known(namespace.Metadata.UID, "read metadata.uid of namespace kube-system")
}

func known(id, op string) (string, error) {
	if id == "" {
		return "", errors.New(op + ": it is empty")
	}
	return id, nil
}

// hint adds to an error that says "forbidden" what to do.
func hint(err error, text string) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w", text, err)
	}
	return err
}
