package embedded

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestSinceOfBeforeALoss: once a loss is given up no since of before says what a client
// has seen. What was left out then, and what came back from a backup, comes again.
func TestSinceOfBeforeALoss(t *testing.T) {
	disk, older := vfs.NewMem(), vfs.NewMem()
	opts := Options{Queues: 1, FS: disk, Log: slog.New(slog.DiscardHandler)}
	openAndSend := func(peer, messages uint64) (since uint64) {
		t.Helper()
		s, err := Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		for id := uint64(1); id <= messages; id++ {
			mustSend(t, s, 1, 1, peer, id)
		}
		since = look(t, s, 2).next
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return since
	}
	openAndSend(2, 1)
	if ok, err := vfs.Clone(disk, older, "data", "data"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	since := openAndSend(3, 20)
	if ok, err := vfs.Clone(disk, older, "data.mark", "data.mark"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	opts.FS = older
	_, err := Open("data", opts)
	var loss *LossError
	if !errors.As(err, &loss) {
		t.Fatal(err)
	}
	opts.GiveUp = loss.Code
	for restarted := range 2 {
		s := mustOpen(t, opts)
		for _, old := range []uint64{since, since + 10} { // the second is of a commit that the mark had not seen
			if got := changedSince(t, s, old); len(got) != 1 || got[0] != 2 {
				t.Errorf("after %d restarts since %d gives %v, want the conversation with 2", restarted, old, got)
			}
		}
		if got := changedSince(t, s, look(t, s, 2).next); len(got) != 0 {
			t.Errorf("after %d restarts what was seen by then comes again: %v", restarted, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
