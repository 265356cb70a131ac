package command

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/registry"
)

// graveyard is a registry that can bury.
type graveyard struct {
	*registry.Memory
	refuse atomic.Int64 // so many burials fail first
}

func (g *graveyard) Bury(_ context.Context, n registry.Node) error {
	if g.refuse.Add(-1) >= 0 {
		return errors.New("the store is away")
	}
	g.End(n.Epoch)
	return nil
}

// stub is a process that listens and says nothing.
type stub struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newStub(t *testing.T) *stub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{Listener: l}
	t.Cleanup(s.end)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
		}
	}()
	return s
}

// hangUp ends all connections and gives how many there were.
func (s *stub) hangUp() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.conns)
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
	return n
}

func (s *stub) end() { s.Close(); s.hangUp() }

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// ring enters processes with these ids, and has the first one's neighbour watched.
func ring(t *testing.T, g *graveyard, stubs map[uint64]*stub) *neighbour {
	t.Helper()
	for id, s := range stubs {
		n := registry.Node{ID: id, Role: registry.Logic, Addresses: map[string]string{registry.RPC: s.Addr().String()}}
		if _, err := g.Register(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	n := &neighbour{registry: g, id: 1, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return n
}

func lives(g *graveyard, id uint64) bool {
	for _, n := range g.View().Nodes {
		if n.ID == id {
			return true
		}
	}
	return false
}

// A process that is gone is buried at once, also where the registry could not be told at
// first, and then the one behind it is watched; the last is followed by the first.
func TestANeighbourThatIsGoneIsBuried(t *testing.T) {
	stubs := map[uint64]*stub{1: newStub(t), 5: newStub(t), 9: newStub(t)}
	g := &graveyard{Memory: registry.NewMemory()}
	g.refuse.Store(1)
	n := ring(t, g, stubs)
	for _, id := range []uint64{5, 9} {
		until(t, "the neighbour is watched", func() bool { stubs[id].mu.Lock(); defer stubs[id].mu.Unlock(); return len(stubs[id].conns) > 0 })
		stubs[id].end()
		until(t, "it is buried", func() bool { return !lives(g, id) })
	}
	if !lives(g, 1) {
		t.Error("the node buried itself")
	}
	until(t, "both are counted", func() bool { return n.vars()["buried"] == 2 })
	if got := n.vars(); got["failed"] != 1 {
		t.Errorf("counters %v", got)
	}
}

// One that closes connections and takes new ones lives.
func TestANeighbourThatHangsUpLives(t *testing.T) {
	stubs := map[uint64]*stub{1: newStub(t), 5: newStub(t)}
	g := &graveyard{Memory: registry.NewMemory()}
	n := ring(t, g, stubs)
	for range 5 {
		until(t, "it is connected to", func() bool { return stubs[5].hangUp() > 0 })
	}
	if !lives(g, 5) || n.vars()["buried"] != 0 {
		t.Errorf("it was buried: %v", n.vars())
	}
}

// One that has never taken a connection may be behind a wall: nobody ends its registration.
func TestANeighbourThatWasNeverReachedLives(t *testing.T) {
	stubs := map[uint64]*stub{1: newStub(t), 5: newStub(t)}
	stubs[5].end()
	g := &graveyard{Memory: registry.NewMemory()}
	n := ring(t, g, stubs)
	until(t, "it was tried often", func() bool { return n.vars()["strange"] > refusals })
	if !lives(g, 5) || n.vars()["buried"] != 0 {
		t.Errorf("it was buried: %v", n.vars())
	}
}

func TestTheRingOfNeighbours(t *testing.T) {
	at := map[string]string{registry.RPC: "127.0.0.1:1"}
	v := registry.NewView(1, false, []registry.Node{
		{ID: 3, Epoch: 30, Addresses: at}, {ID: 7, Epoch: 70, Addresses: at}, {ID: 8, Epoch: 80}, {ID: 9, Epoch: 90, Addresses: at},
	})
	for id, want := range map[uint64]uint64{3: 7, 7: 9, 9: 3, 8: 9, 1: 3, 10: 3} {
		if next, ok := (&neighbour{id: id}).next(v); !ok || next.ID != want {
			t.Errorf("%d is followed by %d (%t), want %d", id, next.ID, ok, want)
		}
	}
	if next, ok := (&neighbour{id: 3}).next(registry.NewView(1, false, v.Nodes[:1])); ok {
		t.Errorf("a node alone is followed by %d", next.ID)
	}
}
