package rpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
)

// second starts another logic node.
func (st *logicStage) second(t *testing.T) (*script, *registry, Node) {
	other, view := newScript(), newRegistry()
	other.mu = st.mu
	server := stopping(t, ServeLogic(listen(t), other, view, config()))
	return other, view, Node{ID: 8, Address: server.Address()}
}

// A node that does not have the queue says who has, and the batch goes there; the view of
// the registry that says so is looked for.
func TestForwardIsMoved(t *testing.T) {
	st := newLogicStage(t)
	other, view, node := st.second(t)
	st.registry.change(func(r *registry) { r.version, r.away = 41, &node })
	view.change(func(r *registry) { r.version = 40 })
	if a, err := st.client.Forward(t.Context(), batchOf(3, 10)); err != nil || a.Len() != 3 {
		t.Fatalf("%d answers, %v", a.Len(), err)
	}
	if len(st.batches) != 0 || len(other.batches) != 1 {
		t.Errorf("%d batches were carried out by the one, %d by the other", len(st.batches), len(other.batches))
	}
	newest := func(r *registry) (n uint64) {
		r.change(func(r *registry) { n = r.newest })
		return n
	}
	if newest(st.registry) != 41 || newest(view) != 41 {
		t.Errorf("version 41 is %d to the gateway and %d to the node that has the queue", newest(st.registry), newest(view))
	}
	if st.client.Stats()["moved"] != 1 || st.server.Stats()["moved"] != 1 || st.client.Stats()["failed.try"] != 0 {
		t.Errorf("counted as %v", st.client.Stats())
	}
}

// Nodes that send a batch to and fro do so a few times only.
func TestForwardIsMovedToAndFro(t *testing.T) {
	st := newLogicStage(t)
	_, view, node := st.second(t)
	st.registry.change(func(r *registry) { r.away = &node })
	view.change(func(r *registry) { r.away = &Node{ID: self, Address: st.server.Address()} })
	if _, err := st.client.Forward(t.Context(), batchOf(1, 1)); !errors.Is(err, errMoved) {
		t.Errorf("the error is %v", err)
	}
	if n := st.client.Stats()["moved"]; n < 2 || n > 30 {
		t.Errorf("it was moved %d times", n)
	}
}

// A node that dies is left for the one that the registry names next.
func TestForwardAfterADeath(t *testing.T) {
	st := newLogicStage(t)
	other, _, node := st.second(t)
	if _, err := st.client.Forward(t.Context(), batchOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = st.server.Stop(ctx)
	answered := make(chan error)
	go func() {
		_, err := st.client.Forward(context.Background(), batchOf(1, 1))
		answered <- err
	}()
	eventually(t, "a try fails", func() bool { return st.client.Stats()["failed.try"] > 0 })
	eventually(t, "a view is looked for in which the dead node is not", func() (asked bool) {
		st.registry.change(func(r *registry) { asked = r.newest == r.version+1 })
		return asked
	})
	st.registry.put(queues, node)
	if err := <-answered; err != nil || len(other.batches) != 1 {
		t.Errorf("%d batches came to the other node, %v", len(other.batches), err)
	}
}

// A node that comes back at the same address is found at the first try, whatever
// connections there were.
func TestForwardAfterARestart(t *testing.T) {
	st := newLogicStage(t)
	st.client.calls.try = callTimeout // on a machine that is busy too
	at := st.server.Address()
	st.entered, st.gate = make(chan struct{}), make(chan struct{})
	const lanes = 8
	answered := make(chan error, lanes)
	for range lanes { // as many connections
		go func() {
			_, err := st.client.Forward(context.Background(), batchOf(1, 1))
			answered <- err
		}()
		<-st.entered
	}
	close(st.gate)
	for range lanes {
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
	}
	if n := st.server.Stats()["connections"]; n != lanes {
		t.Fatalf("%d connections", n)
	}
	if err := st.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ln := relisten(t, at)
	again := newScript()
	again.mu = st.mu
	stopping(t, ServeLogic(ln, again, st.registry, config()))
	for range lanes {
		if _, err := st.client.Forward(t.Context(), batchOf(1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := st.client.Stats()["failed.try"]; n > 1 || len(again.batches) != lanes {
		t.Errorf("%d tries failed", n)
	}
}

// A node that hangs costs a try its second and the call no more than its three, after
// which nobody reads the batch any more.
func TestForwardToANodeThatHangs(t *testing.T) {
	st := newLogicStage(t)
	st.entered, st.gate = make(chan struct{}, 100), make(chan struct{})
	defer close(st.gate)
	begun := time.Now()
	_, err := st.client.Forward(t.Context(), batchOf(1, 1))
	if took := time.Since(begun); err == nil || took < callTimeout*9/10 {
		t.Errorf("given up after %v: %v", took, err)
	}
	if n := len(st.entered); n < 2 || n > 4 {
		t.Errorf("it was tried %d times", n)
	}
}

// A node whose kernel takes nothing more is one that hangs.
func TestForwardToANodeThatDoesNotRead(t *testing.T) {
	ln, registry := listen(t), newRegistry()
	defer ln.Close()
	registry.put(queues, Node{ID: self, Address: ln.Addr().String()})
	log, _ := newLog()
	client := NewLogics(registry, queues, log)
	defer client.Close()
	client.calls.budget.left = 0
	client.calls.budget.since = time.Now().Add(time.Hour)
	batch := batchOf(200, 60_000)
	if _, err := client.Forward(t.Context(), batch); err == nil {
		t.Error("nobody read it, and it was answered")
	}
	clear(batch.Frames) // a race, if anybody still reads them
	if stats := client.Stats(); stats["failed.try"] != 1 || stats["failed.budget"] != 1 {
		t.Errorf("counted as %v", stats)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	log, _ := newLog()
	client := NewLogics(newRegistry(), queues, log)
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Login(ctx, make([]hop.Login, 1)); !errors.Is(err, errNobody) {
		t.Errorf("the error is %v", err)
	}
	if n := client.Stats()["calls"]; n != 0 {
		t.Errorf("%d tries", n)
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(time.Now())
		spend := func() (n int) {
			for b.spend(time.Now()) {
				n++
			}
			return n
		}
		if n := spend(); n != budgetMost {
			t.Errorf("%d at once, want %d", n, budgetMost)
		}
		time.Sleep(3 * time.Second)
		if n := spend(); n != 3*budgetSecond {
			t.Errorf("%d after 3 s, want %d", n, 3*budgetSecond)
		}
		for range 40 {
			b.earn()
		}
		if n := spend(); n != 10 {
			t.Errorf("%d after 40 calls, want 10", n)
		}
		time.Sleep(time.Hour)
		if n := spend(); n != budgetMost {
			t.Errorf("%d after an hour, want %d", n, budgetMost)
		}
	})
}
