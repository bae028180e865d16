// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/segment-bridge/segment-bridge/load/file"
	"github.com/segment-bridge/segment-bridge/load/kongline"
	"github.com/segment-bridge/segment-bridge/load/secret"
	"github.com/segment-bridge/segment-bridge/load/segment"
	"github.com/segment-bridge/segment-bridge/load/segment/segmenttest"
	"github.com/segment-bridge/segment-bridge/load/splunk"
	"github.com/segment-bridge/segment-bridge/load/splunk/splunktest"
	"github.com/segment-bridge/segment-bridge/telemetry"
	"github.com/segment-bridge/segment-bridge/telemetry/identity"
	"github.com/segment-bridge/segment-bridge/telemetry/kube"
)

// A wire keeps the bytes that arrive at a receiver.
type wire struct {
	mu    sync.Mutex
	bytes []byte
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes = append(w.bytes, p...)
	return len(p), nil
}

// take returns what has arrived since it was asked last.
func (w *wire) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.bytes
	w.bytes = nil
	return taken
}

// before returns the address of a receiver, of whose requests the wire keeps the bodies.
func (w *wire) before(t *testing.T, receiver http.Handler) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		receiver.ServeHTTP(answer, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// lines serves a receiver of lines over TLS, and returns its address and the file with its authority.
func (w *wire) lines(t *testing.T) (address, authority string) {
	t.Helper()
	identity := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(identity.Close)
	authority = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: identity.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: identity.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(w, conn)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return listener.Addr().String(), authority
}

// A preview while telemetry is off is what each receiver gets, byte for byte, when the administrator of the cluster has
// turned it on. What a destination wraps around it, or makes of it, is what the same destination prints in a dry run.
func (l *lab) testPreview(t *testing.T) {
	l.build(t, nodesOf(machine{"cloud.google.com/gke-nodepool", "", "gce://p/z/n", ""}, machine{providerID: "gce://p/z/m"})...)
	l.build(t, shop(mark{}, false)...)
	client := l.client(t, l.Config)
	segmentWire, splunkWire, kongWire, path := new(wire), new(wire), new(wire), filepath.Join(t.TempDir(), "calls")
	segmentReceiver, splunkReceiver := segmenttest.New(segmenttest.Options{}), splunktest.New(splunktest.Options{}) //nolint:forbidigo // the plan is another than the bridge's
	address, authority := kongWire.lines(t)

	var printed struct{ segment, splunk, kong bytes.Buffer }
	dry := map[string]telemetry.Destination{
		"segment": must(segment.New(segment.Options{DryRun: &printed.segment})),
		"splunk":  must(splunk.New(splunk.Options{DryRun: &printed.splunk})),
		"kong":    must(kongline.New(kongline.Options{DryRun: &printed.kong})),
	}
	lines := must(file.Open(path))
	t.Cleanup(func() {
		if err := lines.Close(); err != nil {
			t.Error(err)
		}
	})
	reporter, err := telemetry.NewReporter(telemetry.Config{
		Product: "acme-gateway", Version: "1.4.0", Since: "1.0.0", Signals: []string{"start"}, Period: 100 * time.Hour,
		Identity: func(ctx context.Context) (*telemetry.Pseudonymizer, error) {
			id, err := identity.Resolve(ctx, client, identity.Options{})
			if err != nil {
				return nil, err
			}
			return telemetry.NewKeyedPseudonymizer(id.ClusterID.Reveal(), []byte("a key that stays in the cluster"))
		},
		Providers: []telemetry.Provider{
			kube.Platform(client), kube.Versions(client), kube.Nodes(client), telemetry.Exact(kube.Objects(client)), kube.Services(client), kube.Routes(client),
			kube.RouteRules(client, "acme"), kube.Gateways(client, "example.com/acme"), kube.Mesh(client, kube.ServiceName{Namespace: "shop", Name: "gateway"}),
			kube.Kong(client), kube.KongPlugins(client), kube.KongStatus(client), kube.KongAnnotations(client), kube.Konnect(client),
			kube.Fleet(client), kube.Features(client), kube.Controllers(client), kube.LastChange(client),
		},
		Consent: telemetry.Consent{OnByDefault: true, Cluster: kube.ConfigMapConsent(client, "acme", "telemetry", "consent"), Getenv: func(string) string { return "" }},
		Destinations: []telemetry.Destination{
			must(segment.New(segment.Options{Key: secret.New(segmenttest.Key), Endpoint: segmentWire.before(t, segmentReceiver)})),
			must(splunk.New(splunk.Options{Token: secret.New(splunktest.Token), URL: splunkWire.before(t, splunkReceiver)})),
			must(kongline.New(kongline.Options{Address: address, CAFile: authority})),
			lines,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = reporter.Run(ctx) })
	defer running.Wait()
	defer stop()

	l.Namespace(t, "acme", nil)
	consent := func(setting string) {
		l.ApplyObjects(t, having(thing("v1", "ConfigMap", "acme", "telemetry"), "data", map[string]any{"consent": setting}))
	}
	inFile := 0
	arrived := func(t *testing.T) (segment, splunk, kong, file []byte) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text, inFile = text[inFile:], len(text)
		return segmentWire.take(), splunkWire.take(), kongWire.take(), text
	}
	// An event tells its second, so that the same one has to see preview and report.
	for attempt := 1; ; attempt++ {
		consent("off")
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
		preview, err := reporter.Preview(ctx, "start")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reporter.Report(ctx, "start"); !errors.Is(err, telemetry.ErrOff) {
			t.Fatalf("telemetry is off, and a report is %v", err)
		}
		if a, b, c, d := arrived(t); attempt == 1 && len(a)+len(b)+len(c)+len(d) > 0 {
			t.Fatalf("while telemetry is off, this arrived: %s%s%s%s", a, b, c, d)
		}
		consent(reporter.Plan().Hash())
		receipt, err := reporter.Report(ctx, "start")
		if err != nil {
			t.Fatal(err)
		}
		verdicts, err := receipt.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range verdicts {
			if v.Status != telemetry.Delivered {
				t.Fatalf("%s: %+v", name, v)
			}
		}
		onSegment, onSplunk, onKong, onDisk := arrived(t)
		track := trackOf(t, preview)
		if track.MessageID != receipt.MessageID {
			if attempt == 60 {
				t.Fatal("in a minute, preview and report were never of the same second")
			}
			continue
		}
		for _, d := range dry {
			if _, err := d.Deliver(ctx, []telemetry.Track{track}); err != nil {
				t.Fatal(err)
			}
		}
		for name, pair := range map[string]struct{ got, want []byte }{
			"file":    {onDisk, append(bytes.Clone(preview), '\n')},
			"segment": {unstamped(onSegment), unstamped(bytes.TrimSuffix(printed.segment.Bytes(), []byte("\n")))},
			"splunk":  {onSplunk, printed.splunk.Bytes()},
			"kong":    {onKong, printed.kong.Bytes()},
		} {
			if !bytes.Equal(pair.got, pair.want) || len(pair.got) < 1000 {
				t.Errorf("%s: %d bytes arrived:\n%s\nand the preview said:\n%s", name, len(pair.got), pair.got, pair.want)
			}
		}
		for name, body := range map[string][]byte{"segment": onSegment, "splunk": onSplunk} {
			if bytes.Count(body, preview) != 1 {
				t.Errorf("%s does not hold the preview as it is", name)
			}
		}
		if events := segmentReceiver.Events(); !bytes.Equal(events[len(events)-1].Raw, preview) {
			t.Errorf("Segment took %s", events[len(events)-1].Raw)
		}
		if events := splunkReceiver.Events(); !bytes.Equal(events[len(events)-1].Event, preview) {
			t.Errorf("Splunk took %s", events[len(events)-1].Event)
		}
		t.Logf("attempt %d: %d bytes of preview; segment %d, splunk %d, kong %d, file %d", attempt, len(preview), len(onSegment), len(onSplunk), len(onKong), len(onDisk))
		return
	}
}

// unstamped returns the body of a request to Segment without the millisecond of the attempt, by which Segment corrects the
// times in it.
func unstamped(body []byte) []byte {
	return regexp.MustCompile(`^\{"sentAt":"[-0-9T:.]{23}Z"`).ReplaceAll(body, []byte(`{"sentAt":""`))
}

// trackOf returns the event that a preview shows.
func trackOf(t *testing.T, preview []byte) telemetry.Track {
	t.Helper()
	var call struct {
		MessageID, Event string
		Timestamp        time.Time
	}
	if err := json.Unmarshal(preview, &call); err != nil {
		t.Fatal(err)
	}
	return telemetry.Track{MessageID: call.MessageID, Event: call.Event, Time: call.Timestamp, Payload: preview}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
