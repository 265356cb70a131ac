package ledger_test

import (
	"flag"
	"strings"
	"testing"
)

var seeds = flag.Int("seeds", 240, "how many random games the model plays")

// TestRandomGames plays random games on the ledger and on the model. A failure
// names its seed and shows the smallest game that fails the same way.
func TestRandomGames(t *testing.T) {
	for seed := range uint64(*seeds) {
		check(t, newGame(seededBytes(seed)), "seed %d", seed)
	}
}

// FuzzLedger lets a fuzzer choose the games. It begins with short ones, for it spends
// its time on making what is new shorter still.
func FuzzLedger(f *testing.F) {
	for seed := range uint64(16) {
		data, bursts := seededBytes(seed)
		f.Add(data[:min(len(data), 100)], bursts)
	}
	f.Fuzz(func(t *testing.T, data []byte, bursts bool) {
		check(t, newGame(data, bursts), "a game of %d bytes", len(data))
	})
}

// check plays a game and explains how it fails.
func check(t *testing.T, g game, name string, args ...any) {
	t.Helper()
	err := play(g, nil)
	if err == nil {
		return
	}
	small := g.smaller(func(g game) bool { return play(g, nil) != nil })
	var trace strings.Builder
	smallErr := play(small, &trace)
	t.Fatalf(name+": %v\n\nThe smallest game that fails (%v):\n%s%v", append(args, err, small, trace.String(), smallErr)...)
}
