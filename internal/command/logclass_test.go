package command

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/transfer"
)

// unfollowable is queues that cannot be followed.
type unfollowable struct{}

func (unfollowable) Follow(context.Context, int, func(context.Context, *hop.Record, func())) error {
	return errors.New("nothing is there")
}

// said keeps what is logged, by whichever goroutine.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// Queues of two classes have the same numbers, and lines about them say which is meant.
func TestLogNamesTheClass(t *testing.T) {
	var to said
	log := slog.New(slog.NewJSONHandler(&to, nil))
	s := transfer.Start(transfer.Config{Queue: unfollowable{}, Queues: []int{3}, Log: logOf(log, chain.System)})
	for end := time.Now().Add(10 * time.Second); to.String() == "" && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	s.Stop()
	if !strings.Contains(to.String(), `"class":"system","queue":3`) {
		t.Errorf("it logs %s", &to)
	}
	log.Info("x", "queue", chain.Queue{Class: chain.System, Number: 4})
	if !strings.Contains(to.String(), `"queue":"system queue 4"`) {
		t.Errorf("in JSON it logs %s", &to)
	}
}
