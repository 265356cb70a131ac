// Package operate is what an operator looks at: counters, profiles, memory, health,
// and what could not be read.
package operate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Sources are the functions from which a Server gets its data. They are called concurrently.
type Sources struct {
	Version     string
	Vars        func() map[string]any               // counters, by part
	Queues      func(ctx context.Context) []OfQueue // gauges of queues, which may be asked of others meanwhile; nil: there are none
	Unreadable  func() any                          // records that could not be read
	Connections func() uint64
	Health      func() error // nil: all is well
	Ready       func() error // nil: it may be sent more clients
	Log         *slog.Logger // nil: slog.Default()
}

// Server serves the data over HTTP. It has no authentication and belongs on loopback. limits.go
// bounds what it can cost if it is reachable from elsewhere.
type Server struct {
	listener net.Listener
	http     *http.Server
	limits   *limits
}

// Start listens on the address and serves:
//
//	/healthz           200 while all is well, else 503 and why
//	/readyz            200 while more clients may be sent here, else 503 and why
//	/metrics           counters and gauges, in the form of Prometheus
//	/debug/vars        likewise
//	/debug/memory      memory; with ?gc=1 after a collection
//	/debug/unreadable  records that transfer could not read
//	/debug/pprof/      profiles
func Start(address string, from Sources) (*Server, error) {
	return start(address, from, times{read: readTimeout, write: writeTimeout, idle: idleTimeout})
}

func start(address string, from Sources, within times) (*Server, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the debug endpoint: %w", err)
	}
	own := &limits{times: within, max: maxConnections, log: cmp.Or(from.Log, slog.Default())}
	errs := &ungathered{log: own.log}
	vars := func() map[string]any {
		all := maps.Clone(from.Vars())
		stats := own.stats()
		stats["failed.metrics"] = errs.Times()
		all["debug"] = stats
		return all
	}
	queues := &queues{from: from.Queues}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", own.timed(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", own.timed(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", own.timed(pprof.Trace))
	mux.HandleFunc("GET /debug/vars", func(w http.ResponseWriter, _ *http.Request) {
		all := vars()
		if list := queues.all(); len(list) > 0 {
			all["of_queues"] = list
		}
		reply(w, all)
	})
	mux.HandleFunc("GET /debug/unreadable", func(w http.ResponseWriter, _ *http.Request) { reply(w, from.Unreadable()) })
	mux.Handle("GET /metrics", metricsHandler(from.Version, vars, queues, errs))
	mux.HandleFunc("GET /healthz", from.tell(from.Health))
	mux.HandleFunc("GET /readyz", from.tell(from.Ready))
	mux.HandleFunc("GET /debug/memory", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("gc") != "" {
			debug.FreeOSMemory() // runs a collection and returns memory to the system
		}
		reply(w, memory(from.Connections()))
	})
	s := &Server{listener: ln, limits: own, http: &http.Server{
		Handler: mux, ReadTimeout: within.read, WriteTimeout: within.write, IdleTimeout: within.idle,
		MaxHeaderBytes: maxHeader, ErrorLog: own.errorLog(), ConnState: own.follow,
	}}
	go s.http.Serve(limitedListener{ln, own}) // ends with Stop
	return s, nil
}

// tell answers 200 if whether returns nil, and otherwise 503 with the error.
func (from *Sources) tell(whether func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := whether(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok", from.Version)
	}
}

// Address is where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Stop ends it at once, also if it has not begun to serve.
func (s *Server) Stop() {
	_ = s.http.Close()
	_ = s.listener.Close()
}

func memory(connections uint64) map[string]uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return map[string]uint64{
		"heap_inuse":  m.HeapInuse,
		"heap_alloc":  m.HeapAlloc,
		"stack_inuse": m.StackInuse,
		"sys":         m.Sys,
		"rss":         residentBytes(),
		"goroutines":  uint64(runtime.NumGoroutine()),
		"connections": connections,
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // an error means that the reader went away
}

// residentBytes gives the resident memory of this process, 0 where the system
// does not say (proc(5), statm).
func residentBytes() uint64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident uint64
	if _, err := fmt.Fscan(strings.NewReader(string(b)), &size, &resident); err != nil {
		return 0
	}
	return resident * uint64(os.Getpagesize())
}
