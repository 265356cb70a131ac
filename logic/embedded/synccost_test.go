//go:build !race

// The race detector makes sync.Pool forget at random, so what is allocated is counted
// without it.

package embedded

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// counting is a store as its ledger reads it, which counts what is read.
type counting struct {
	ledger.Source
	loads, walks atomic.Int64 // conversations
}

func (c *counting) Load(ctx context.Context, conversations []*ledger.Loaded) error {
	c.loads.Add(int64(len(conversations)))
	return c.Source.Load(ctx, conversations)
}

func (c *counting) Walk(ctx context.Context, walks []*ledger.Walk) error {
	c.walks.Add(int64(len(walks)))
	return c.Source.Walk(ctx, walks)
}

// TestCostOfSync: a SYNC loads each conversation that is not in memory once, and keeps at
// most MaxPreview bytes of the body of its newest message, however long that is. It
// copies no more than it keeps where the conversation is in memory. A load finds the
// newest message from behind, and there Pebble's iterator copies a value, one for each
// load.
func TestCostOfSync(t *testing.T) {
	const talks, body = 100, 64<<10 - 256
	c := &counting{}
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem(), source: func(source ledger.Source) ledger.Source {
		c.Source = source
		return c
	}})
	for peer := uint64(2); peer < 2+talks; peer++ {
		for id := uint64(1); id <= 3; id++ {
			new(entries).large(peer, 1, 1, id, body).mustApply(t, s)
		}
		new(entries).read(1, 1, peer, 2).mustApply(t, s)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	sync := func() (states []protocol.State) {
		t.Helper()
		for q := (logic.InboxQuery{User: 1, Device: 1, Limit: protocol.MaxPage, Room: protocol.MaxFrame}); ; {
			page, err := s.Changed(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			states = append(states, page.States...)
			if q.After = page.After; !page.More {
				return states
			}
		}
	}
	for _, how := range []struct {
		name  string
		begin func()
		loads int64
		most  uint64 // bytes of memory for a conversation
	}{
		{"out of memory", func() { forget(t, s) }, talks, 1 << 30}, // it fills Pebble's cache
		{"out of memory, once more", func() { forget(t, s) }, talks, body + 8<<10},
		{"from memory", func() {
			b := new(entries)
			for peer := uint64(2); peer < 2+talks; peer++ {
				b.send(1, 1, peer, 1)
				b.large(peer, 1, 1, 4, body)
			}
			for len(b.Entries) > 0 {
				n := min(20, len(b.Entries))
				part := &entries{logic.Batch{Blob: b.Blob, Entries: b.Entries[:n]}}
				part.mustApply(t, s)
				b.Entries = b.Entries[n:]
			}
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
			sync()
		}, 0, 8 << 10},
	} {
		how.begin()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		loads, walks := c.loads.Load(), c.walks.Load()
		states := sync()
		runtime.ReadMemStats(&after)
		if got := c.loads.Load() - loads; got != how.loads || c.walks.Load() != walks {
			t.Errorf("%s: a SYNC of %d conversations loads %d and walks through %d, want %d loads", how.name, talks, got, c.walks.Load()-walks, how.loads)
		}
		if len(states) != talks {
			t.Fatalf("%s: %d conversations", how.name, len(states))
		}
		for _, state := range states {
			var m protocol.Message
			if err := m.Decode(state.Last); err != nil {
				t.Fatal(err)
			}
			if len(m.Body) != protocol.MaxPreview || state.LastSize != body || cap(state.Last) > 2*len(state.Last) {
				t.Fatalf("%s: %d bytes of a body of %d are given, and %d kept", how.name, len(m.Body), state.LastSize, cap(state.Last))
			}
		}
		if each := (after.TotalAlloc - before.TotalAlloc) / talks; each > how.most {
			t.Errorf("%s: a SYNC takes %d bytes of memory for a conversation, want %d at most; a body has %d", how.name, each, how.most, body)
		}
	}
}
