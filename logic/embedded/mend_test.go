package embedded

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestLossAndDamage: a start that gives something up goes through everything, so a block
// that cannot be read ends it, with the name of the file. Once the file is back the same
// code helps.
func TestLossAndDamage(t *testing.T) {
	files := writeTables(t, filepath.Join(t.TempDir(), "db"))
	opts := Options{Queues: 1, Log: slog.New(slog.DiscardHandler), tune: smallBlocks}
	for name, content := range files {
		if !isTable(name) {
			continue
		}
		for at := 512; at < len(content)-2048; at += 1024 {
			dir := restore(t, files)
			path := filepath.Join(dir, name)
			b := append([]byte(nil), content...)
			b[at] ^= 0x10
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(markPath(dir)); err != nil {
				t.Fatal(err)
			}
			opts.GiveUp = ""
			_, err := Open(dir, opts)
			var loss *LossError
			if !errors.As(err, &loss) || loss.Code == "" {
				continue // what the store says about itself lay there
			}
			opts.GiveUp = loss.Code
			_, err = Open(dir, opts)
			if err == nil {
				t.Fatal("the store opens, and what lies in the block was not gone through")
			}
			wantNamed(t, err, name)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, opts)
			if err != nil {
				t.Fatalf("once the file is back: %v", err)
			}
			if got := len(changedSince(t, s, 0)); got != flipPeers {
				t.Errorf("%d conversations, want %d", got, flipPeers)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("no damage leaves a start with a code; the test says nothing")
}
