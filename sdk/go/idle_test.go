//go:build !race

package gannet

import (
	"context"
	"runtime"
	"testing"
)

// TestIdleClientIsSmall holds the memory budget of a client that waits: about
// 10 KiB, the stacks of its two goroutines included, and here the server's end and the
// test's own notes on top. The race
// detector has its own notes, so it is left out there.
func TestIdleClientIsSmall(t *testing.T) {
	const clients, budget = 500, 13 << 10
	used := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	before := used()
	for range clients {
		peerConn(t, WithHandler(Handler{Message: func(context.Context, *Client, Message) error { return nil }}))
	}
	each := (used() - before) / clients
	t.Logf("%d bytes a client and its other end", each)
	if each > budget {
		t.Errorf("an idle client has %d bytes, more than %d", each, budget)
	}
}
