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
		check(t, seededGame(seed), "seed %d", seed)
	}
}

// FuzzLedger lets a fuzzer choose the games.
func FuzzLedger(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x07\x00 acks, reads and messages at random 0123456789"), false)
	f.Add([]byte("\x00\x01\x01\x00\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09"), true)
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
