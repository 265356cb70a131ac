//go:build cluster

package history

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gannet/internal/services/servicestest"
)

// meter passes connections on to a server and counts what is sent there.
func meter(t *testing.T, server string) (address string, sent *atomic.Int64) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sent = new(atomic.Int64)
	var all sync.WaitGroup
	t.Cleanup(func() { ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			all.Go(func() { defer client.Close(); _, _ = io.Copy(client, to) })
			all.Go(func() { defer to.Close(); _, _ = io.Copy(io.MultiWriter(to, counter{sent}), client) })
		}
	})
	return ln.Addr().String(), sent
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// What is inserted is read again as it was, compressed on its way or not, and takes less of
// the network where it is.
func TestCompressed(t *testing.T) {
	body := strings.Repeat("a body that says little ", 2000)
	took := map[bool]int64{}
	for _, compress := range []bool{false, true} {
		server := servicestest.ClickHouse(t)
		address, sent := meter(t, server)
		o := optionsAt(t, server)
		o.Addresses, o.Compress = []string{address}, compress
		n := newNode(t, openStore(t, o), 1, FeederOptions{Every: manual}, nil)
		n.batch(1, 1, 2, 1, body, "x")
		before := sent.Load()
		n.flush()
		took[compress] = sent.Load() - before
		var got string
		if err := n.store.conn.QueryRow(t.Context(), "SELECT body FROM messages WHERE seq = 1").Scan(&got); err != nil || got != body {
			t.Errorf("compressed %v: read back are %d bytes of %d, %v", compress, len(got), len(body), err)
		}
	}
	if took[true] > took[false]/2 || took[false] < int64(len(body)) {
		t.Errorf("a body of %d bytes takes %d bytes of the network, and %d compressed", len(body), took[false], took[true])
	}
}
