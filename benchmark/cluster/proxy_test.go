package cluster

import (
	"bufio"
	"net"
	"os"
	"testing"
	"time"
)

// echoLines answers each line with itself.
func echoLines(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if _, err := c.Write([]byte(line)); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// talker connects to a proxy, and gives what says whether a line comes back within a time.
func talker(t *testing.T, p *Proxy) func(within time.Duration) bool {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	r := bufio.NewReader(c)
	asked := 0
	return func(within time.Duration) bool {
		if asked == 0 { // one that waits for its answer asks no more
			if _, err := c.Write([]byte("x\n")); err != nil {
				t.Fatal(err)
			}
			asked++
		}
		_ = c.SetReadDeadline(time.Now().Add(within))
		if _, err := r.ReadString('\n'); err != nil {
			return false
		}
		asked--
		return true
	}
}

const (
	soon = 50 * time.Millisecond
	late = 30 * time.Second
)

// While it is cut nothing comes through and nobody is told; then all of it does.
func TestACutProxyLetsNothingThrough(t *testing.T) {
	p, err := NewProxy(echoLines(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	before := talker(t, p)
	if !before(late) {
		t.Fatal("nothing comes through an open proxy")
	}
	p.Cut()
	during := talker(t, p)
	if before(soon) || during(soon) {
		t.Error("something came through a cut proxy")
	}
	p.Heal()
	if !before(late) || !during(late) {
		t.Error("what was sent meanwhile did not come after the end of the cut")
	}
}

// A cut that concerns one process leaves the others alone.
func TestACutConcernsOneProcess(t *testing.T) {
	for pid, through := range map[int]bool{os.Getpid(): false, os.Getppid(): true} {
		p, err := NewProxy(echoLines(t), func() int { return pid })
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		talk := talker(t, p)
		if !talk(late) {
			t.Fatal("nothing comes through an open proxy")
		}
		p.Cut()
		within := soon
		if through {
			within = late
		}
		if talk(within) != through {
			t.Errorf("a cut for process %d: this one, %d, comes through: %t", pid, os.Getpid(), !through)
		}
	}
}
