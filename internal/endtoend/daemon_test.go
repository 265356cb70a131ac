package endtoend

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gannet/internal/token"
)

// daemon is a server in a process of its own.
type daemon struct {
	t         *testing.T
	data      string
	address   string
	tls       string // and with TLS, where there is one
	debug     string // address of the debug endpoint, where there is one
	readyFile string

	cmd   *exec.Cmd
	out   bytes.Buffer  // what it printed; read it after ended
	ended chan struct{} // closed once it is gone
	err   error         // how it ended
}

// serve starts a server and waits until it listens.
func serve(t *testing.T, data, address string, flags ...string) *daemon {
	t.Helper()
	flags = append([]string{"--data", data, "--listen", address}, flags...)
	return serveWith(t, data, nil, flags...)
}

// serveWith starts a server with these flags alone, and with further settings in its
// environment.
func serveWith(t *testing.T, data string, environment []string, flags ...string) *daemon {
	t.Helper()
	return serveChanged(t, data, func(c *exec.Cmd) { c.Env = append(os.Environ(), environment...) }, flags...)
}

// serveChanged starts a server with these flags alone, after change has had its way
// with how it runs.
func serveChanged(t *testing.T, data string, change func(*exec.Cmd), flags ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, data: data, readyFile: filepath.Join(t.TempDir(), "ready"), ended: make(chan struct{})}
	d.cmd = prepare(t.Context(), t, append(flags, "--ready-file", d.readyFile)...)
	change(d.cmd)
	d.cmd.Stdout, d.cmd.Stderr = &d.out, &d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(d.ended)
		d.err = d.cmd.Wait()
	}()
	t.Cleanup(d.kill)
	await(t, "the server listens", func() bool {
		select {
		case <-d.ended:
			t.Fatalf("the server ended: %v\n%s", d.err, d.out.String())
		default:
		}
		return d.readReady()
	})
	return d
}

// readReady takes what the ready file says, once it is there.
func (d *daemon) readReady() bool {
	d.t.Helper()
	b, err := os.ReadFile(d.readyFile)
	if err != nil {
		return false
	}
	var r struct {
		Listen, TLS, Debug string
		PID                int
	}
	if err := json.Unmarshal(b, &r); err != nil || r.PID != d.cmd.Process.Pid {
		d.t.Fatalf("ready file %s: %v", b, err)
	}
	d.address, d.tls, d.debug = r.Listen, r.TLS, r.Debug
	return true
}

// kill ends the server at once, whether it runs or not.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// stop ends it as an operator would.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("the server does not stop")
	}
	if d.err != nil {
		d.t.Errorf("the server did not stop well: %v\n%s", d.err, d.out.String())
	}
	if _, err := os.Stat(d.readyFile); !os.IsNotExist(err) {
		d.t.Errorf("the ready file of a server that is gone: %v", err)
	}
}

// sign makes a token with the key in a server's data folder.
func sign(t testing.TB, data string, user uint64) string {
	t.Helper()
	keys, err := token.LoadKeys(filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := keys.Sign(user, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// look asks the debug endpoint at an address.
func look(t testing.TB, address, path string) (status int, body string) {
	t.Helper()
	r, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// counter gives a counter of a part of the server.
func counter(t testing.TB, address, part, name string) uint64 {
	t.Helper()
	_, body := look(t, address, "/debug/vars")
	var vars map[string]map[string]any
	if err := json.Unmarshal([]byte(body), &vars); err != nil {
		t.Fatalf("counters: %v\n%s", err, body)
	}
	n, ok := vars[part][name].(float64)
	if !ok {
		t.Fatalf("no counter %s of %s in:\n%s", name, part, body)
	}
	return uint64(n)
}

// hinted gives how many pushes became hints because their receivers did not read.
func hinted(t testing.TB, address string) uint64 {
	return counter(t, address, "gateway", "push.outbox_full") + counter(t, address, "gateway", "push.blocked")
}
