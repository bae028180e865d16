// SPDX-License-Identifier: Apache-2.0

package html

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"

	"github.com/segment-bridge/segment-bridge/audit"
	"github.com/segment-bridge/segment-bridge/stage"
)

// A server answers with pages, and with nothing else.
type server struct {
	report *audit.Report
	ledger *stage.Ledger
	log    *slog.Logger
}

// NewHandler serves the report, and a page for each batch of the ledger, to browsers that ask for the host by an IP address,
// as localhost, or by one of the names: whatever else a browser was led to believe stands for this machine gets nothing. It reads
// and never writes.
func NewHandler(r *audit.Report, l *stage.Ledger, log *slog.Logger, names ...string) http.Handler {
	s := &server{report: r, ledger: l, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, req *http.Request) { s.answer(w, req, s.front) })
	mux.HandleFunc("GET /batches", func(w http.ResponseWriter, req *http.Request) { s.answer(w, req, s.batches) })
	mux.HandleFunc("GET /batch/{cluster}/{batch}", func(w http.ResponseWriter, req *http.Request) { s.answer(w, req, s.batch) })
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !known(req.Host, names) {
			http.Error(w, "this host is not served here: use the address that the program printed", http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// known reports whether the host of a request is an address, localhost, or one of the names.
func known(host string, names []string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for _, name := range append(names, "localhost") {
		if name != "" && host == name {
			return true
		}
	}
	return false
}

// errNoPage says that there is nothing under an address.
var errNoPage = errors.New("no such page")

// answer writes a whole page or an error, whose text the page's reader may see.
func (s *server) answer(w http.ResponseWriter, req *http.Request, make func(context.Context, *http.Request) (g.Node, error)) {
	status := http.StatusOK
	node, err := make(req.Context(), req)
	switch {
	case errors.Is(err, errNoPage), errors.Is(err, fs.ErrNotExist):
		status, node = http.StatusNotFound, problem("There is no such page", "It may have expired since it was listed.")
	case err != nil:
		s.log.ErrorContext(req.Context(), "cannot read the stage", "error", err)
		status, node = http.StatusBadGateway, problem("The bucket cannot be read", "The log of the program says why.")
	}
	var b bytes.Buffer
	if err := render(&b, node); err != nil {
		http.Error(w, "the page cannot be written", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(b.Len()))
	header.Set("Content-Security-Policy", policy()+"; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes()) // the browser has gone: nobody is left to be told
	}
}

func problem(title, what string) g.Node {
	return page(title, h.H1(g.Text(title)), trail(), h.Section(para("%s", what)))
}

// trail leads back; here is where one is.
func trail(here ...g.Node) g.Node {
	links := []g.Node{h.Li(h.A(h.Href("/"), g.Text("Report"))), h.Li(h.A(h.Href("/batches"), g.Text("Batches")))}
	for _, n := range here {
		links = append(links, h.Li(h.Aria("current", "page"), n))
	}
	return h.Nav(h.Aria("label", "Way back"), h.Ul(g.Group(links)))
}

func (s *server) front(context.Context, *http.Request) (g.Node, error) {
	return reportPage(s.report, h.P(h.A(h.Href("/batches"), g.Text("Browse it batch by batch")))), nil
}

// batchesAPage is how many batches a page lists, eventsAPage how many events.
const (
	batchesAPage = 100
	eventsAPage  = 50
)

// batches lists batches of the bucket as it is now.
func (s *server) batches(ctx context.Context, req *http.Request) (g.Node, error) {
	at, err := number(req)
	if err != nil {
		return nil, err
	}
	var rows [][]cell
	more, seen := false, 0
	for b, err := range s.ledger.Batches(ctx, stage.Range{}) {
		if err != nil {
			return nil, err
		}
		if seen++; seen <= at*batchesAPage {
			continue
		}
		if more = len(rows) == batchesAPage; more {
			break
		}
		rows = append(rows, []cell{nodeCell(h.A(h.Href(address(b)), code(b.Name))), pseudonymCell(b.Cluster), timeCell(b.End())})
	}
	body := g.Node(para("There is none."))
	if len(rows) > 0 {
		body = table("Batches", []column{words("Batch"), words("Cluster"), words("Read until")}, rows)
	}
	return page("Batches", h.H1(g.Text("Batches")), trail(),
		h.Section(h.Aria("label", "Batches"), para("Each run writes one. They are listed as they are in the bucket at this moment, cluster by cluster, the oldest first."), body, turn("/batches", at, more))), nil
}

func address(b stage.Batch) string {
	return "/batch/" + url.PathEscape(b.Cluster.String()) + "/" + url.PathEscape(b.Name)
}

// number is which page is asked for, from 0.
func number(req *http.Request) (int, error) {
	value := req.URL.Query().Get("page")
	if value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > 1<<20 {
		return 0, errNoPage
	}
	return n - 1, nil
}

// turn leads to the pages before and after.
func turn(path string, at int, more bool) g.Node {
	var links []g.Node
	link := func(n int, text string) {
		links = append(links, h.Li(h.A(h.Href(path+"?page="+strconv.Itoa(n+1)), g.Text(text))))
	}
	if at > 0 {
		link(at-1, "← Earlier")
	}
	if more {
		link(at+1, "Later →")
	}
	if links == nil {
		return nil
	}
	return h.Nav(h.Aria("label", "Pages"), h.Ul(g.Group(links)))
}

// batchOf is the batch that a page's address names.
func batchOf(req *http.Request) (stage.Batch, error) {
	b := stage.Batch{Name: req.PathValue("batch")}
	if b.Cluster.UnmarshalText([]byte(req.PathValue("cluster"))) != nil {
		return b, errNoPage
	}
	key, ok := stage.ParseKey(b.ManifestKey())
	if !ok || key.Kind != stage.KindManifest || key.Batch != b {
		return b, errNoPage
	}
	return b, nil
}

// Serve answers requests on the listener until ctx ends, which is no error.
func Serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // what is under way is a page that nobody waits for any more
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
