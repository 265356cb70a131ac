package embedded

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gannet/logic"
	"gannet/protocol"
)

// failRead wraps a file system so that a read of a table fails when countdown comes
// to 0, and only that one.
func failRead(fs vfs.FS, countdown *atomic.Int64) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") && countdown.Add(-1) == 0 {
			return errors.New("a bad sector")
		}
		return nil
	}))
}

// tablesOf gives a file system with a store whose conversation of users 1 and 2 lies
// in tables of many small blocks: 100 messages of user 1's device 7, read by user 2
// up to 40 and acked by user 2's device 3 up to 50.
func tablesOf(t *testing.T, opts *Options) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	opts.Queues, opts.CacheBytes, opts.FS = 1, 1, fs
	opts.tune = func(o *pebble.Options) {
		for i := range o.Levels {
			o.Levels[i].BlockSize, o.Levels[i].IndexBlockSize = 1, 1
		}
	}
	s := mustOpen(t, *opts)
	for id := uint64(1); id <= 100; id++ {
		mustSend(t, s, 1, 7, 2, id)
	}
	new(entries).ack(2, 3, 1, 50).read(2, 3, 1, 40).mustApply(t, s)
	mustSend(t, s, 1, 7, 3, 1)
	s.flushAcks(true)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return fs
}

func wantTables(t *testing.T, state protocol.State) {
	t.Helper()
	if state.Head != 100 || state.Read != 40 || state.Delivered != 50 || state.Acked != 50 || state.Unread != 60 || state.PeerDelivered != 100 {
		t.Fatalf("a reader sees %+v, which is not what was written", state)
	}
}

// TestBadRead: a read that fails once is an error of the call, or of the entries of
// one conversation, whichever read it is; nothing is taken for missing.
func TestBadRead(t *testing.T) {
	var opts Options
	tables := tablesOf(t, &opts)
	failed := 0
	for n, hit := int64(1), true; hit; n++ {
		var countdown atomic.Int64
		opts.FS = failRead(tables.CrashClone(vfs.CrashCloneCfg{}), &countdown)
		s := mustOpen(t, opts)
		countdown.Store(n)
		page, err := s.Changed(t.Context(), logic.InboxQuery{User: 2, Device: 3, Limit: 9, Room: protocol.MaxFrame})
		hit = countdown.Swap(0) <= 0
		switch {
		case err == nil && len(page.States) == 1:
			wantTables(t, page.States[0])
		case err == nil:
			t.Fatalf("read %d failed, and the inbox is said to have %d conversations", n, len(page.States))
		case !errors.Is(err, logic.ErrUnavailable) || !hit:
			t.Fatalf("read %d failed, and the error is %v", n, err)
		default:
			failed++
		}

		b := new(entries).send(1, 7, 3, 1).send(1, 7, 2, 99).send(1, 7, 2, 1).read(2, 3, 1, 30).send(1, 8, 2, 1)
		want := []logic.Entry{
			{Outcome: logic.Repeated, Seq: 1},
			{Outcome: logic.Repeated, Seq: 99}, {Outcome: logic.Repeated, Seq: 1}, {Outcome: logic.Repeated, Seq: 30}, {Outcome: logic.Applied, Seq: 101},
		}
		countdown.Store(n)
		err = b.applyAll(t, s)
		hit = countdown.Swap(0) <= 0 || hit
		unknown := make(map[protocol.Conversation]bool)
		for i, e := range b.Entries {
			if e.Outcome == logic.Unknown {
				unknown[e.Conversation] = true
				failed++
			} else if e.Outcome != want[i].Outcome || e.Seq != want[i].Seq {
				t.Fatalf("read %d failed (%v), and entry %d came to %+v", n, err, i, e)
			}
		}
		if len(unknown) > 1 {
			t.Fatalf("read %d failed (%v), and with it entries of %d conversations", n, err, len(unknown))
		}
		if state := stateOf(t, s, 2, 3, 1); b.Entries[4].Outcome == logic.Unknown {
			wantTables(t, state)
		} else if state.Head != 101 || state.Read != 40 || state.Unread != 61 || state.Acked != 50 {
			t.Fatalf("read %d failed, and then a reader sees %+v", n, state)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if failed < 10 {
		t.Fatalf("only %d reads failed; the test finds nothing", failed)
	}
}
