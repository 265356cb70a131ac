package command

import (
	"context"
	"errors"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
)

// tardy is a broker that does not answer the first times.
type tardy struct {
	chain.Stream
	fails int
	asked int
}

func (s *tardy) Bounds(ctx context.Context, queue chain.Queue) (first, end int64, err error) {
	if s.asked++; s.asked <= s.fails {
		return 0, 0, context.DeadlineExceeded
	}
	return s.Stream.Bounds(ctx, queue)
}

// TestMendAsksAgain: a broker that does not answer at once is asked again, until the command is
// ended.
func TestMendAsksAgain(t *testing.T) {
	m := chaintest.NewMemory()
	queue := chain.Queue{Class: chain.Chat, Number: 0}
	m.Put(queue, []byte("a record"))
	s := &tardy{Stream: m, fails: 2}
	if first, end, err := (waited{s}).Bounds(t.Context(), queue); first != 0 || end != 1 || err != nil || s.asked != 3 {
		t.Errorf("asked %d times it has the records from %d to %d, %v", s.asked, first, end, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = &tardy{Stream: m, fails: 2}
	if _, _, err := (waited{s}).Bounds(ctx, queue); !errors.Is(err, context.DeadlineExceeded) || s.asked != 1 {
		t.Errorf("ended, and asked %d times, it says %v", s.asked, err)
	}
}
