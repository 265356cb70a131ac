package endtoend

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// badNetwork stands between clients and a server and carries their bytes as a bad
// network does: late, in crumbs, not at all for a while, and now and then it cuts a
// connection, amid a frame as likely as not.
type badNetwork struct {
	t        *testing.T
	listener net.Listener
	server   string
	calm     atomic.Bool // carries everything at once from now on

	delays, stalls, halves, cuts, resets atomic.Int64 // deeds

	mu     sync.Mutex
	rng    *rand.Rand
	pairs  map[*link]struct{}
	closed bool
	wg     sync.WaitGroup
}

// link is a connection of a client and the one to the server that belongs to it.
type link struct{ client, server *net.TCPConn }

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

func newBadNetwork(t *testing.T, server string, seed uint64) *badNetwork {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &badNetwork{t: t, listener: listener, server: server, rng: rand.New(rand.NewPCG(seed, 1)), pairs: map[*link]struct{}{}}
	n.wg.Go(n.accept)
	t.Cleanup(n.close)
	return n
}

func (n *badNetwork) address() string { return n.listener.Addr().String() }

func (n *badNetwork) close() {
	n.listener.Close()
	n.mu.Lock()
	n.closed = true
	for l := range n.pairs {
		l.close()
	}
	n.mu.Unlock()
	n.wg.Wait()
}

func (n *badNetwork) accept() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", n.server)
		if err != nil { // it is being started anew
			client.Close()
			continue
		}
		l := &link{client.(*net.TCPConn), server.(*net.TCPConn)}
		n.mu.Lock()
		if n.closed {
			l.close()
		} else {
			n.pairs[l] = struct{}{}
			n.wg.Go(func() { n.carry(l, l.client, l.server) })
			n.wg.Go(func() { n.carry(l, l.server, l.client) })
		}
		n.mu.Unlock()
	}
}

// chance is true once in so many times, and never in a calm network.
func (n *badNetwork) chance(in int) bool {
	return !n.calm.Load() && n.below(in) == 0
}

func (n *badNetwork) below(max int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rng.IntN(max)
}

// carry takes bytes from one end to the other until either ends.
func (n *badNetwork) carry(l *link, from, to *net.TCPConn) {
	defer func() {
		l.close()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.pairs, l)
	}()
	buf := make([]byte, 4096)
	for {
		size := len(buf)
		if n.chance(3) {
			size = 1 + n.below(64)
		}
		got, err := from.Read(buf[:size])
		if err != nil {
			return
		}
		b := buf[:got]
		if n.chance(4) {
			n.delays.Add(1)
			time.Sleep(time.Duration(n.below(30)) * time.Millisecond)
		}
		if n.chance(400) { // longer than two heartbeats of a second
			n.stalls.Add(1)
			time.Sleep(time.Duration(500+n.below(3000)) * time.Millisecond)
		}
		switch {
		case n.chance(300):
			n.cuts.Add(1)
			_, _ = to.Write(b[:n.below(len(b)+1)]) // the link ends either way
			return
		case n.chance(300):
			n.resets.Add(1)
			_ = errors.Join(to.SetLinger(0), from.SetLinger(0)) // the link ends either way
			return
		}
		if n.chance(4) && len(b) > 1 {
			n.halves.Add(1)
			half := 1 + n.below(len(b)-1)
			if _, err := to.Write(b[:half]); err != nil {
				return
			}
			time.Sleep(time.Duration(n.below(5)) * time.Millisecond)
			b = b[half:]
		}
		if _, err := to.Write(b); err != nil && !errors.Is(err, io.EOF) {
			return
		}
	}
}
