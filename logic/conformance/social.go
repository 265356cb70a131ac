package conformance

import (
	"slices"
	"testing"

	"gannet/logic"
	"gannet/protocol"
)

// Social holds an adapter of logic.Social to its guarantees.
func Social(t *testing.T, open Open) {
	runAll(t, open, []run{
		{"the two users of a direct conversation", socialDirect},
		{"answers come in order, behind what is there", socialOrder},
	})
}

func (w *world) rights(asks ...logic.Ask) []logic.Rights {
	w.t.Helper()
	got, err := w.Social.Rights(w.t.Context(), asks, nil)
	if err != nil || len(got) != len(asks) {
		w.t.Fatalf("%d answers to %d questions: %v", len(got), len(asks), err)
	}
	return got
}

func socialDirect(w *world) {
	w.send(1, 1, 2, 1) // whether somebody wrote or not
	for _, c := range []protocol.Conversation{direct(1, 2), direct(1, 3), direct(1, 1), direct(^uint64(0), 1)} {
		for user, want := range map[uint64]logic.Rights{c.A: logic.MaySee | logic.MayWrite, c.B: logic.MaySee | logic.MayWrite, 77: 0} {
			if got := w.rights(logic.Ask{User: user, Conversation: c}); got[0] != want {
				w.t.Errorf("user %d has the rights %b in %v, want %b", user, got[0], c, want)
			}
		}
	}
}

func socialOrder(w *world) {
	both := logic.MaySee | logic.MayWrite
	asks := []logic.Ask{{User: 5, Conversation: direct(1, 2)}, {User: 2, Conversation: direct(1, 2)}, {User: 2, Conversation: direct(1, 3)}, {User: 3, Conversation: direct(1, 3)}}
	got, err := w.Social.Rights(w.t.Context(), asks, []logic.Rights{9})
	if want := []logic.Rights{9, 0, both, 0, both}; err != nil || !slices.Equal(got, want) {
		w.t.Fatalf("%v, %v; want %v", got, err, want)
	}
	if got := w.rights(); len(got) != 0 {
		w.t.Fatalf("no question got %v", got)
	}
}
