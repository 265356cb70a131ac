package registry_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/registry"
)

// kept keeps a node of logic registered until the test ends.
func kept(t *testing.T, m *registry.Memory, id uint64, joins time.Duration) *registry.Keeper {
	k := registry.NewKeeper(m, registry.Node{ID: id, Role: registry.Logic}, slog.New(slog.DiscardHandler))
	k.JoinFor(joins)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx, func(registry.Registration) {}) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return k
}

// stateOf gives the state of a node, "" where there is none.
func stateOf(m *registry.Memory, id uint64) registry.State {
	for _, n := range m.View().Nodes {
		if n.ID == id {
			return n.State
		}
	}
	return ""
}

func wantState(t *testing.T, m *registry.Memory, id uint64, want registry.State) {
	t.Helper()
	synctest.Wait()
	if got := stateOf(m, id); got != want {
		t.Fatalf("node %d is %q, want %q", id, got, want)
	}
}

// TestJoin: who comes to nodes that serve joins for a while, and owns nothing meanwhile.
// Who comes to nobody, or to others who join, serves at once.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		kept(t, m, 1, time.Second)
		wantState(t, m, 1, registry.Serving)
		kept(t, m, 2, time.Second)
		wantState(t, m, 2, registry.Joining)
		heirs := 0
		for number := range uint32(64) {
			q := registry.Queue{Number: number}
			if n, ok := registry.Owner(registry.Logic, q, m.View()); !ok || n.ID != 1 {
				t.Fatalf("while node 2 joins, queue %d is that of %+v", number, n)
			}
			if n, ok := registry.Heir(registry.Logic, q, m.View()); ok && n.ID == 2 {
				heirs++
			}
		}
		if heirs < 16 || heirs > 48 {
			t.Errorf("a node that joins is to have %d queues of 64", heirs)
		}
		time.Sleep(999 * time.Millisecond)
		wantState(t, m, 2, registry.Joining)
		time.Sleep(time.Millisecond)
		wantState(t, m, 2, registry.Serving)
	})
}

// TestJoinToNobody: a node does not wait for others that are gone.
func TestJoinToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := registry.NewMemory()
		first := kept(t, m, 1, time.Hour)
		wantState(t, m, 1, registry.Serving)
		kept(t, m, 2, time.Hour)
		third := kept(t, m, 3, time.Hour)
		wantState(t, m, 2, registry.Joining)
		if err := third.SetState(t.Context(), registry.Draining); err != nil {
			t.Fatal(err)
		}
		wantState(t, m, 3, registry.Draining)
		if err := first.SetState(t.Context(), registry.Draining); err != nil {
			t.Fatal(err)
		}
		wantState(t, m, 2, registry.Serving)
		wantState(t, m, 3, registry.Draining)
	})
}
