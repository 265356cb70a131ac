package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of a test; nothing here takes a fraction of it.
const patience = 60 * time.Second

// program is the command, built once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gannet-test-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "gannet")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w\n%s", err, out)
	}
	return path, nil
})

var built string // the folder to remove

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// command prepares the program; it is ended at the end of the test.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, args...)
}

// run runs the program to its end and gives what it printed.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	c := command(t, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err = c.Run()
	return out.String(), errs.String(), err
}

// daemon is a server in a process of its own.
type daemon struct {
	*exec.Cmd
	t       *testing.T
	data    string
	address string
	out     bytes.Buffer
}

// serve starts a server and waits until it listens.
func serve(t *testing.T, data, address string) *daemon {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	d := &daemon{Cmd: command(t, "--data", data, "--listen", address, "--ready-file", ready), t: t, data: data}
	d.Stdout, d.Stderr = &d.out, &d.out
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Process.Kill(); _ = d.Wait() })
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		b, err := os.ReadFile(ready)
		if err == nil {
			var r struct {
				Listen string
				PID    int
			}
			if err := json.Unmarshal(b, &r); err != nil || r.PID != d.Process.Pid {
				t.Fatalf("ready file %s: %v", b, err)
			}
			d.address = r.Listen
			return d
		}
		if time.Now().After(deadline) {
			t.Fatal("the server is not ready")
		}
	}
}

// crash ends the server as a power cut would.
func (d *daemon) crash() {
	d.t.Helper()
	if err := d.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	_ = d.Wait()
}

// stop ends it as an operator would.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if err := d.Wait(); err != nil {
		d.t.Errorf("the server did not stop well: %v\n%s", err, d.out.String())
	}
}

// chatter is a running gannet chat.
type chatter struct {
	t     *testing.T
	cmd   *exec.Cmd
	input io.WriteCloser

	mu      sync.Mutex
	out     bytes.Buffer
	changed chan struct{}
}

func chat(t *testing.T, d *daemon, user, to int) *chatter {
	t.Helper()
	c := &chatter{t: t, changed: make(chan struct{}, 1)}
	c.cmd = command(t, "chat", "--data", d.data, "--address", d.address, fmt.Sprint("--user=", user), fmt.Sprint("--to=", to))
	c.cmd.Stdout, c.cmd.Stderr = c, c
	var err error
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	return c
}

// Write takes what the chat prints.
func (c *chatter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return c.out.Write(p)
}

func (c *chatter) printed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// sees waits until the chat has printed the text this many times.
func (c *chatter) sees(text string, times int) {
	c.t.Helper()
	deadline := time.After(patience)
	for strings.Count(c.printed(), text) < times {
		select {
		case <-c.changed:
		case <-deadline:
			c.t.Fatalf("%q was not printed %d times:\n%s", text, times, c.printed())
		}
	}
}

func (c *chatter) says(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.input, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// ends closes the input and waits for a good end.
func (c *chatter) ends() {
	c.t.Helper()
	c.input.Close()
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("chat ended badly: %v\n%s", err, c.printed())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Two chat, the server dies in the middle and comes back: both go on by
// themselves, nothing is lost, nothing comes twice.
func TestChatGoesOnAfterACrash(t *testing.T) {
	data, address := t.TempDir(), freeAddress(t)
	server := serve(t, data, address)
	alice, bob := chat(t, server, 1, 2), chat(t, server, 2, 1)
	alice.sees("connected as user 1", 1)
	bob.sees("connected as user 2", 1)
	alice.says("before-a")
	bob.sees("1: before-a", 1)
	bob.says("before-b")
	alice.sees("2: before-b", 1)

	server.crash()
	alice.sees("connection lost", 1)
	bob.sees("connection lost", 1)
	alice.says("while-it-was-away-a")
	bob.says("while-it-was-away-b")
	server = serve(t, data, address)
	bob.sees("1: while-it-was-away-a", 1)
	alice.sees("2: while-it-was-away-b", 1)
	alice.says("after-a")
	bob.sees("1: after-a", 1)
	bob.says("after-b")
	alice.sees("2: after-b", 1)
	alice.ends()
	bob.ends()
	for _, line := range []string{"2: before-b\n", "2: while-it-was-away-b\n", "2: after-b\n"} {
		if n := strings.Count(alice.printed(), line); n != 1 {
			t.Errorf("alice saw %q %d times:\n%s", line, n, alice.printed())
		}
	}
	for _, line := range []string{"1: before-a\n", "1: while-it-was-away-a\n", "1: after-a\n"} {
		if n := strings.Count(bob.printed(), line); n != 1 {
			t.Errorf("bob saw %q %d times:\n%s", line, n, bob.printed())
		}
	}
	server.stop()
}

// Who was away gets everything at login, oldest first; chat works in a pipe.
func TestChatThroughAPipe(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	alice := chat(t, server, 1, 2)
	for i := range 300 {
		alice.says(fmt.Sprint("line ", i))
	}
	alice.ends()
	bob := chat(t, server, 2, 1)
	bob.sees("line 299\n", 1)
	at := 0
	for i := range 300 {
		next := strings.Index(bob.printed()[at:], fmt.Sprint(": line ", i, "\n"))
		if next < 0 {
			t.Fatalf("line %d is missing or out of order:\n%s", i, bob.printed())
		}
		at += next
	}
	bob.ends()
	server.stop()
}

func TestSecondServerOnTheSameDataIsRefused(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	_, stderr, err := run(t, "--data", server.data, "--listen", "127.0.0.1:0")
	if err == nil || !strings.Contains(stderr, "another gannet is already running") || !strings.Contains(stderr, "--data") {
		t.Errorf("%v: %s", err, stderr)
	}
	_, stderr, err = run(t, "--data", t.TempDir(), "--listen", server.address)
	if err == nil || !strings.Contains(stderr, "address already in use") {
		t.Errorf("%v: %s", err, stderr)
	}
	server.stop()
}

func TestServerSaysWhatToDoNext(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	server.stop()
	out := server.out.String()
	for _, want := range []string{server.address, "chat --user 1 --to 2", "chat --user 2 --to 1", "--data " + server.data} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what the server printed:\n%s", want, out)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"token", "--user", "1", "--data", t.TempDir()}, "start the server once"},
		{[]string{"token", "--user", "0"}, "user 0 does not exist"},
		{[]string{"token"}, "--user"},
		{[]string{"chat", "--user", "1", "--to", "2", "--data", t.TempDir()}, "--token"},
		{[]string{"chat", "--user", "1", "--to", "2", "--token", "nonsense", "--address", freeAddress(t)}, "cannot log in"},
		{[]string{"--listen", "nowhere"}, "--listen"},
		{[]string{"--tls-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"}, "--tls-cert"},
		{[]string{"dance"}, "unexpected argument dance"},
		{[]string{"--log-level", "loud"}, "loud"},
	} {
		if c.args[0][0] == '-' {
			c.args = append(c.args, "--data", t.TempDir())
		}
		stdout, stderr, err := run(t, c.args...)
		if err == nil || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("gannet %s: %v, %q is not in:\n%s%s", strings.Join(c.args, " "), err, c.says, stdout, stderr)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	out, _, err := run(t, "--version")
	if err != nil || !strings.HasPrefix(out, "gannet "+release) {
		t.Errorf("--version: %v, %q", err, out)
	}
	out, _, err = run(t, "--help")
	for _, want := range []string{"serve", "chat", "token", "bench"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("--help: %v, no %q in:\n%s", err, want, out)
		}
	}
}

func TestBadConfigurationFiles(t *testing.T) {
	for content, says := range map[string]string{
		`{"listen": `:         "not a JSON object",
		`{"lisen": "x"}`:      `"lisen", which is no flag`,
		`{"lanes": "plenty"}`: "lanes",
	} {
		file := filepath.Join(t.TempDir(), "config.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, stderr, err := run(t, "--config", file, "--data", t.TempDir(), "--listen", "127.0.0.1:0")
		if err == nil || !strings.Contains(stderr, says) || strings.Contains(stderr, "panic") {
			t.Errorf("%s: %v, %q is not in:\n%s", content, err, says, stderr)
		}
	}
}

func TestSettingsComeFromFlagsEnvironmentAndFile(t *testing.T) {
	dir := t.TempDir()
	address := freeAddress(t)
	file := filepath.Join(dir, "gannet.json")
	if err := os.WriteFile(file, []byte(`{"listen": "`+address+`", "data": "`+dir+`/from-file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ready := filepath.Join(dir, "ready")
	c := command(t, "--config", file, "--ready-file", ready)
	c.Env = append(os.Environ(), "GANNET_DATA="+dir+"/from-environment")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if b, err := os.ReadFile(ready); err == nil {
			if !strings.Contains(string(b), address) {
				t.Errorf("listens elsewhere: %s", b)
			}
			break
		} else if time.Now().After(deadline) {
			t.Fatal("the server is not ready")
		}
	}
	if _, err := os.Stat(dir + "/from-environment/keys"); err != nil {
		t.Errorf("the environment does not win over the file: %v", err)
	}
}
