package command

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/chain"
	"gannet/internal/registry"
)

// late is a registry whose view a process sees only when it asks, and that may be away.
type late struct {
	*registry.Memory
	seen  atomic.Pointer[registry.View]
	away  atomic.Bool
	asked atomic.Int32
}

func newLate() *late {
	l := &late{Memory: registry.NewMemory()}
	l.seen.Store(l.Memory.View())
	return l
}

var errAway = errors.New("away")

func (l *late) View() *registry.View { return l.seen.Load() }

func (l *late) Refresh(context.Context) error {
	l.asked.Add(1)
	if l.away.Load() {
		return errAway
	}
	l.seen.Store(l.Memory.View())
	return nil
}

func TestNodesAskForWhatTheirViewLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLate()
		n := newNodes(l)
		go n.run(t.Context())
		logics := n.of(registry.Logic, chain.Chat)
		if _, _, ok := logics.Of(3); ok {
			t.Fatal("a queue has an owner where there is no node")
		}
		if _, err := l.Register(t.Context(), registry.Node{ID: 5, Role: registry.Logic, Addresses: map[string]string{registry.RPC: "a:1"}}); err != nil {
			t.Fatal(err)
		}
		logics.Newer(l.View().Version) // no newer one
		synctest.Wait()
		if n := l.asked.Load(); n != 0 {
			t.Errorf("asked %d times for what is there", n)
		}
		l.away.Store(true)
		logics.Newer(l.Memory.View().Version)
		synctest.Wait()
		if _, _, ok := logics.Of(3); ok {
			t.Fatal("an owner out of a view that was not read")
		}
		l.away.Store(false) // it goes on asking
		for range 2 {
			synctest.Wait()
			time.Sleep(askPause)
		}
		if node, version, ok := logics.Of(3); !ok || node.Address != "a:1" || node.ID != 5 || version != l.Memory.View().Version {
			t.Errorf("the owner is %+v under %d, %v", node, version, ok)
		}
		if _, _, ok := n.of(registry.Transfer, chain.Chat).Of(3); ok {
			t.Error("a logic node has the queue as transfer")
		}
		if _, _, elsewhere := (placement{logics, 5}).Elsewhere(3); elsewhere {
			t.Error("the owner says that its queue is elsewhere")
		}
		if node, _, elsewhere := (placement{logics, 6}).Elsewhere(3); !elsewhere || node.Address != "a:1" {
			t.Errorf("another node says that the queue is at %+v, %v", node, elsewhere)
		}
	})
}
