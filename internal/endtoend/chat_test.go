package endtoend

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/internal/services/servicestest"
)

// chatter is a running gannet chat.
type chatter struct {
	t     *testing.T
	cmd   *exec.Cmd
	input io.WriteCloser

	mu      sync.Mutex
	out     bytes.Buffer
	changed chan struct{}
}

// chat starts a chat whose input is a pipe.
func chat(t *testing.T, d *daemon, user, to int, flags ...string) *chatter {
	t.Helper()
	c := &chatter{t: t, changed: make(chan struct{}, 1)}
	flags = append([]string{"chat", "--data", d.data, "--address", d.address, fmt.Sprint("--user=", user), fmt.Sprint("--to=", to)}, flags...)
	c.cmd = prepare(t.Context(), t, flags...)
	c.cmd.Stdout, c.cmd.Stderr = c, c
	var err error
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	c.start()
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

// Two chat, the server dies in the middle and comes back: both go on by
// themselves, nothing is lost, nothing comes twice.
func TestChatGoesOnAfterACrash(t *testing.T) {
	data, address := t.TempDir(), servicestest.FreeAddress(t)
	server := serve(t, data, address)
	alice, bob := chat(t, server, 1, 2), chat(t, server, 2, 1)
	alice.sees("connected as user 1", 1)
	bob.sees("connected as user 2", 1)
	alice.says("before-a")
	bob.sees("1: before-a", 1)
	bob.says("before-b")
	alice.sees("2: before-b", 1)

	server.kill()
	alice.sees("* connection lost", 1)
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
	for _, c := range []*chatter{alice, bob} {
		for _, once := range []string{"* connected as user", "* connection lost", "* connected again", "* lines acked: 3\n"} {
			if n := strings.Count(c.printed(), once); n != 1 {
				t.Errorf("%q was printed %d times:\n%s", once, n, c.printed())
			}
		}
	}
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
