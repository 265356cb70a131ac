package embedded

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

func TestFolderInUse(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"disk": nil, "memory": vfs.NewMem()} {
		dir := t.TempDir()
		s, err := Open(dir, Options{Lanes: 1, FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{Lanes: 1, FS: fs}); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: the second Open gives %v, want ErrLocked", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = Open(dir, Options{Lanes: 1, FS: fs})
		if err != nil {
			t.Fatalf("%s: after Close: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, Options{Lanes: 1, FS: vfs.NewMem()})
	mustSend(t, s, 1, 1, 2, 1)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	_, errHead := s.Head(ctx, direct(1, 2))
	_, errPositions := s.Positions(ctx, direct(1, 2), []uint64{1}, nil)
	for name, err := range map[string]error{
		"Append":        new(entries).send(1, 1, 2, 2).appendTo(s),
		"Head":          errHead,
		"Positions":     errPositions,
		"Read":          s.Read(ctx, direct(1, 2), 1, 2, false, func(uint64, []byte) bool { return true }),
		"Conversations": s.Conversations(ctx, 1, protocol.Target{}, func(logic.Summary) bool { return true }),
	} {
		if !errors.Is(err, logic.ErrUnavailable) {
			t.Errorf("%s gives %v after Close, want ErrUnavailable", name, err)
		}
	}
}

// TestAbandonedBatch: a batch that cannot be carried out leaves nothing behind,
// neither on the disk nor in memory.
func TestAbandonedBatch(t *testing.T) {
	s := mustOpen(t, Options{Lanes: 1, FS: vfs.NewMem()})
	mustSend(t, s, 1, 1, 2, 1)
	bad := new(entries).send(1, 1, 2, 2).send(1, 1, 3, 1).send(1, 1, 2, 3)
	bad.Entries[2].Op = 99
	if err := bad.appendTo(s); !errors.Is(err, logic.ErrUnavailable) {
		t.Fatalf("the error is %v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Append(ctx, 0, &new(entries).send(1, 1, 2, 2).Batch); !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v, want that of the context", err)
	}
	if e := mustSend(t, s, 1, 1, 2, 2); e.Outcome != logic.Applied || e.Seq != 2 {
		t.Fatalf("the next message got %+v, want seq 2", e)
	}
	if e := mustSend(t, s, 1, 1, 3, 1); e.Outcome != logic.Applied || e.Seq != 1 {
		t.Fatalf("the next message got %+v, want seq 1", e)
	}
}

func TestWrongLane(t *testing.T) {
	s := mustOpen(t, Options{Lanes: 2, FS: vfs.NewMem()})
	b := new(entries).send(1, 1, 2, 1)
	wrong := 1 - direct(1, 2).Partition()%2
	if err := s.Append(context.Background(), wrong, &b.Batch); err == nil {
		t.Fatal("a batch was taken in the wrong lane, where its seqs could be given out twice")
	}
}

// TestCacheBound: the cache keeps the conversations that are used, and no more
// than it may.
func TestCacheBound(t *testing.T) {
	const bound = 20
	s := mustOpen(t, Options{Lanes: 1, FS: vfs.NewMem(), CacheConversations: bound})
	for peer := uint64(2); peer < 200; peer++ {
		mustSend(t, s, 1, 1, peer, 1)
		mustSend(t, s, 1, 1, 2, peer) // this one is used all the time
		l := s.lanes[0]
		if n := len(l.young) + len(l.old); n > bound {
			t.Fatalf("%d conversations in the cache, may be %d", n, bound)
		}
		if l.peek(direct(1, 2)) == nil {
			t.Fatalf("after %d others, the conversation in use was forgotten", peer)
		}
	}
	if e := mustSend(t, s, 1, 1, 5, 2); e.Seq != 2 {
		t.Fatalf("a forgotten conversation went on with seq %d, want 2", e.Seq)
	}
}
