package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// debugServer serves profiles, counters and memory figures over HTTP to the
// operator. It has no authentication and belongs on loopback.
type debugServer struct {
	address string
	http    *http.Server
}

func startDebug(address string, s *server) (*debugServer, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the debug endpoint: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/vars", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"gateway": s.gateway.Stats(), "transfer": s.transfer.Stats()})
	})
	mux.HandleFunc("GET /debug/memory", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("gc") != "" {
			debug.FreeOSMemory() // collects, and gives back what it can
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		reply(w, map[string]uint64{
			"heap_inuse":  m.HeapInuse,
			"heap_alloc":  m.HeapAlloc,
			"stack_inuse": m.StackInuse,
			"sys":         m.Sys,
			"rss":         residentBytes(),
			"goroutines":  uint64(runtime.NumGoroutine()),
			"connections": s.gateway.Stats()["connections"],
		})
	})
	d := &debugServer{address: ln.Addr().String(), http: &http.Server{Handler: mux}}
	go d.http.Serve(ln) // ends with stop
	return d, nil
}

func (d *debugServer) stop() { _ = d.http.Close() }

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader went away: nothing to tell anybody
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
