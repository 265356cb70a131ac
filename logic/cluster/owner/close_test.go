//go:build cluster

package owner_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/logic/cluster/owner"
)

// slow is a broker that gives one record after the other, and takes its time.
type slow struct {
	*chaintest.Memory
	pulls atomic.Pointer[chan struct{}] // one is under way; nil: it is not slow
}

func (s *slow) Pull(ctx context.Context, queue chain.Queue, from int64, limit int) ([]chain.Stored, error) {
	pulls := s.pulls.Load()
	if pulls == nil {
		return s.Memory.Pull(ctx, queue, from, limit)
	}
	select {
	case *pulls <- struct{}{}:
	default:
	}
	select {
	case <-time.After(500 * time.Millisecond):
		return s.Memory.Pull(ctx, queue, from, 1)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestCloseAmidReplay: a node that has much to replay, to take a queue over or because Redis came
// back older, closes at once, and the next one has everything.
func TestCloseAmidReplay(t *testing.T) {
	for name, running := range map[string]bool{"taking over": false, "repairing": true} {
		t.Run(name, func(t *testing.T) {
			a := newAiling(t, nil)
			a.talk()
			a.flush()
			must(t, a.node.redis.Save(t.Context()).Err())
			s := &slow{Memory: a.memory}
			if a.stream = s; running {
				a.node.stop()
				a.node = a.start(2)
				a.node.waitOwned()
				must(t, a.node.redis.Save(t.Context()).Err())
			}
			for range 3 {
				a.talk()
			}
			a.flush()
			a.waitFed()
			a.server.Kill()
			if !running {
				a.node.stop()
			}
			pulls := make(chan struct{}, 1)
			s.pulls.Store(&pulls)
			a.server.Start()
			if !running {
				a.node = a.start(2)
			}
			for range 10 {
				<-pulls
			}
			if running == (a.node.owner.State(0) == owner.Taking) {
				t.Errorf("amid that queue 0 is %v", a.node.owner.State(0))
			}
			began := time.Now()
			if !running {
				must(t, a.node.owner.Drain(t.Context()))
			}
			_ = a.node.owner.Close(t.Context())
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it closes after %v", took)
			}
			a.stream = a.memory
			a.node.stop()
			a.node = a.start(3)
			a.node.waitOwned()
			a.talk()
			a.check([]*node{a.node}, a.list)
		})
	}
}
