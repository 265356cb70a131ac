package operate

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// asked is what a server under test shows.
type asked struct {
	*Server
	t           *testing.T
	failure     atomic.Pointer[error]
	connections atomic.Uint64
	stopping    atomic.Bool
}

func serve(t *testing.T) *asked {
	t.Helper()
	return serveWithin(t, times{read: readTimeout, write: writeTimeout, idle: idleTimeout})
}

func serveWithin(t *testing.T, within times) *asked {
	t.Helper()
	a := &asked{t: t}
	var err error
	a.Server, err = start("127.0.0.1:0", Sources{
		Log:     slog.New(slog.DiscardHandler),
		Version: "v1.2.3",
		Vars:    func() map[string]any { return map[string]any{"gateway": map[string]uint64{"frames": 7}} },
		Unreadable: func() any {
			return []struct {
				Queue int    `json:"queue"`
				Why   string `json:"why"`
			}{{3, "cut"}}
		},
		Connections: a.connections.Load,
		Health: func() error {
			if err := a.failure.Load(); err != nil {
				return *err
			}
			return nil
		},
		Ready: func() error {
			if a.stopping.Load() {
				return errors.New("stopping")
			}
			return nil
		},
	}, within)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	return a
}

// get asks for a path.
func (a *asked) get(path string) (status int, header http.Header, body string) {
	a.t.Helper()
	answer, err := http.Get("http://" + a.Address() + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}

// decode asks for a path that gives JSON.
func (a *asked) decode(path string, into any) {
	a.t.Helper()
	status, header, body := a.get(path)
	if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		a.t.Fatalf("%s: %d, %v", path, status, header)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		a.t.Fatalf("%s: %v in %s", path, err, body)
	}
}

func TestHealth(t *testing.T) {
	a := serve(t)
	if status, _, body := a.get("/healthz"); status != http.StatusOK || body != "ok v1.2.3\n" {
		t.Errorf("all is well, and the answer is %d, %q", status, body)
	}
	err := errors.New("the disk is gone")
	a.failure.Store(&err)
	if status, _, body := a.get("/healthz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "the disk is gone") {
		t.Errorf("the disk is gone, and the answer is %d, %q", status, body)
	}
	a.failure.Store(nil)
	if status, _, _ := a.get("/healthz"); status != http.StatusOK {
		t.Errorf("all is well again, and the answer is %d", status)
	}
}

// A server that stops is well, and ready for nobody.
func TestReadiness(t *testing.T) {
	a := serve(t)
	if status, _, _ := a.get("/readyz"); status != http.StatusOK {
		t.Errorf("it is ready, and the answer is %d", status)
	}
	a.stopping.Store(true)
	if status, _, body := a.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "stopping") {
		t.Errorf("it stops, and the answer is %d, %q", status, body)
	}
	if status, _, _ := a.get("/healthz"); status != http.StatusOK {
		t.Errorf("it stops, and is not well: %d", status)
	}
}

func TestVars(t *testing.T) {
	var vars map[string]map[string]uint64
	if serve(t).decode("/debug/vars", &vars); vars["gateway"]["frames"] != 7 || vars["debug"]["open"] == 0 || len(vars) != 2 {
		t.Errorf("the counters are %v", vars)
	}
}

func TestUnreadable(t *testing.T) {
	var list []map[string]any
	if serve(t).decode("/debug/unreadable", &list); len(list) != 1 || list[0]["queue"] != 3.0 || list[0]["why"] != "cut" {
		t.Errorf("what could not be read is %v", list)
	}
}

func TestMemory(t *testing.T) {
	a := serve(t)
	a.connections.Store(42)
	for _, path := range []string{"/debug/memory", "/debug/memory?gc=1"} {
		var memory map[string]uint64
		a.decode(path, &memory)
		if memory["connections"] != 42 {
			t.Errorf("%s: %d connections", path, memory["connections"])
		}
		for _, name := range []string{"heap_inuse", "heap_alloc", "stack_inuse", "sys", "goroutines"} {
			if memory[name] == 0 {
				t.Errorf("%s: %s is 0", path, name)
			}
		}
		if memory["heap_alloc"] > memory["sys"] || memory["rss"] > 1<<40 {
			t.Errorf("%s: %v", path, memory)
		}
	}
}

func TestProfiles(t *testing.T) {
	a := serve(t)
	if status, _, body := a.get("/debug/pprof/"); status != http.StatusOK || !strings.Contains(body, "goroutine") {
		t.Errorf("the profiles are %d, %q", status, body)
	}
	if status, _, body := a.get("/debug/pprof/goroutine?debug=1"); status != http.StatusOK || !strings.Contains(body, "operate.TestProfiles") {
		t.Errorf("the goroutines are %d, %q", status, body)
	}
}

func TestNothingElse(t *testing.T) {
	a := serve(t)
	for _, path := range []string{"/", "/debug", "/debug/", "/debug/other", "/healthz/"} {
		if status, _, body := a.get(path); status != http.StatusNotFound {
			t.Errorf("%s: %d, %q", path, status, body)
		}
	}
	answer, err := http.Post("http://"+a.Address()+"/debug/vars", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST gives %d", answer.StatusCode)
	}
}

func TestStartAndStop(t *testing.T) {
	a := serve(t)
	if s, err := Start(a.Address(), Sources{}); err == nil {
		s.Stop()
		t.Error("two servers listen on one address")
	}
	a.Stop()
	a.Stop()
	ln, err := net.Listen("tcp", a.Address())
	if err != nil {
		t.Fatalf("after Stop the address is not free: %v", err)
	}
	ln.Close()
}
