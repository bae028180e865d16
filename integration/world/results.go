// SPDX-License-Identifier: Apache-2.0

//go:build integration

package world

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pb "github.com/tektoncd/results/proto/v1alpha2/results_go_proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// ResultsOptions say how a Tekton Results API server is set up.
type ResultsOptions struct {
	PartialResponse bool     // heed the list of fields a client asks for; off, it is silently ignored
	TLS             bool     // serve TLS, with a certificate of a CA of its own
	Auth            *Cluster // ask this cluster who a token is and what it may do; nil lets everybody do everything

	Beside *ResultsServer // serve the database of this server, set up in another way
}

// ResultsServer is a Tekton Results API server for one test.
type ResultsServer struct {
	Addr   string           // host:port, for gRPC and REST
	URL    string           // the same for REST: http://host:port or https://host:port
	CAFile string           // PEM file with the CA, empty without TLS
	Client pb.ResultsClient // may do everything

	db       *Database
	database string
	process  *process
}

// ResultsServiceName is the host name, beside 127.0.0.1 and localhost, that the certificate of a server with TLS is for.
// Installations have no other.
const ResultsServiceName = "tekton-results-api-service.tekton-pipelines.svc.cluster.local"

// Results starts a Tekton Results API server on an empty database of its own in d.
func Results(t testing.TB, d *Database, options ResultsOptions) *ResultsServer {
	t.Helper()
	r, conn, err := startResults(t.Context(), d, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close() //nolint:errcheck // the server ends now
		r.process.stop(syscall.SIGKILL)
	})
	report(t, r.process.log)
	return r
}

func startResults(ctx context.Context, d *Database, options ResultsOptions) (*ResultsServer, *grpc.ClientConn, error) {
	dir, err := newFolder("results")
	if err != nil {
		return nil, nil, err
	}
	port, err1 := freePort()
	metrics, err2 := freePort()
	cmd, err3 := server("results-api")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, err
	}
	r := &ResultsServer{
		Addr:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		db:       d,
		database: filepath.Base(dir),
	}
	r.URL = "http://" + r.Addr
	if options.Beside != nil {
		r.database = options.Beside.database
	} else if err := d.create(ctx, r.database); err != nil {
		return nil, nil, err
	}
	// The server reads this file from its working folder, and from its environment only keys that are in it.
	files := map[string][]byte{filepath.Join(dir, "config.env"): fmt.Appendf(nil, `DB_USER=postgres
DB_PASSWORD=none
DB_HOST=127.0.0.1
DB_PORT=%d
DB_NAME=%s
DB_SSLMODE=disable
DB_ENABLE_AUTO_MIGRATION=true
DB_MAX_IDLE_CONNECTIONS=10
DB_MAX_OPEN_CONNECTIONS=10
SERVER_PORT=%d
PROMETHEUS_PORT=%d
TLS_PATH=%s
FEATURE_GATES=PartialResponse=%t
AUTH_DISABLE=%t
AUTH_IMPERSONATE=true
K8S_QPS=1000
K8S_BURST=1000
LOG_LEVEL=warn
SQL_LOG_LEVEL=error
LOGS_API=false
LOGS_TYPE=File
`, d.Port, r.database, port, metrics, dir, options.PartialResponse, options.Auth == nil)}
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	transport, client, dial := insecure.NewCredentials(), http.DefaultClient, []grpc.DialOption(nil)
	if options.TLS {
		ca, err := newAuthority()
		if err != nil {
			return nil, nil, err
		}
		cert, key, err := ca.issue(pkix.Name{CommonName: "tekton-results-api-service"}, ResultsServiceName, "localhost", "127.0.0.1")
		if err != nil {
			return nil, nil, err
		}
		r.URL, r.CAFile = "https://"+r.Addr, filepath.Join(dir, "ca.crt")
		files[r.CAFile], files[filepath.Join(dir, "tls.crt")], files[filepath.Join(dir, "tls.key")] = ca.pem, cert, key
		roots := x509.NewCertPool()
		roots.AddCert(ca.cert)
		trust := &tls.Config{RootCAs: roots}
		transport = credentials.NewTLS(trust)
		client = &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	}
	if options.Auth != nil {
		token, err := inCluster(ctx, options.Auth, dir, cmd, files)
		if err != nil {
			return nil, nil, err
		}
		dial = append(dial, grpc.WithPerRPCCredentials(bearer(token)))
	}
	if err := writeFiles(files); err != nil {
		return nil, nil, err
	}
	conn, err := grpc.NewClient(r.Addr, append(dial, grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(100<<20)))...)
	if err != nil {
		return nil, nil, fmt.Errorf("make a client: %w", err)
	}
	r.Client = pb.NewResultsClient(conn)
	if r.process, err = start(dir, "results-api", cmd); err != nil {
		return nil, nil, err
	}
	if err := r.process.await(func(ctx context.Context) error { return get(ctx, client, r.URL+"/healthz") }); err != nil {
		r.process.stop(syscall.SIGKILL)
		return nil, nil, err
	}
	return r, conn, nil
}

// inCluster makes cmd believe that it runs in a pod of the cluster, as a service account that may review tokens and
// access. It adds the account's files to files, and returns the token of another account that may do everything with
// results and records.
func inCluster(ctx context.Context, c *Cluster, dir string, cmd *exec.Cmd, files map[string][]byte) (token string, err error) {
	const namespace, api, everything = "tekton-pipelines", "tekton-results-api", "world-results-everything"
	role := object("rbac.authorization.k8s.io/v1", "ClusterRole", "", everything)
	role.Object["rules"] = []any{map[string]any{"apiGroups": []any{"results.tekton.dev"}, "resources": []any{"*"}, "verbs": []any{"*"}}}
	err = errors.Join(
		c.apply(ctx, object("v1", "Namespace", "", namespace)),
		c.apply(ctx, object("v1", "ServiceAccount", namespace, api)),
		c.bind(ctx, "system:auth-delegator", namespace, api),
		c.apply(ctx, object("v1", "ServiceAccount", namespace, everything)),
		c.apply(ctx, role),
		c.bind(ctx, everything, namespace, everything),
	)
	if err != nil {
		return "", err
	}
	apiToken, err1 := c.token(ctx, namespace, api, day)
	token, err2 := c.token(ctx, namespace, everything, day)
	address, err3 := url.Parse(c.Config.Host)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", fmt.Errorf("put Tekton Results into the cluster: %w", err)
	}
	account := filepath.Join(dir, "serviceaccount")
	if err := os.Mkdir(account, 0o700); err != nil {
		return "", fmt.Errorf("put Tekton Results into the cluster: %w", err)
	}
	files[filepath.Join(account, "token")] = []byte(apiToken)
	files[filepath.Join(account, "ca.crt")] = c.Config.CAData
	files[filepath.Join(account, "namespace")] = []byte(namespace)
	cmd.Env = append(cmd.Env, "KUBERNETES_SERVICE_HOST="+address.Hostname(), "KUBERNETES_SERVICE_PORT="+address.Port())
	// In a mount namespace of its own, /run (where /var/run leads) is another folder, which only this server sees.
	script := `mount -t tmpfs world /run && mkdir -p /run/secrets/kubernetes.io && ln -s "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"`
	cmd.Args = append([]string{"sh", "-c", script, account, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		// Who is not root is root in a user namespace.
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	return token, nil
}

const day = 24 * time.Hour

// bearer sends a token with each call, over TLS or not.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(b))}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }
