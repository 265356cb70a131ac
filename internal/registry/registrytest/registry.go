// Package registrytest holds the suite that every adapter of registry.Registry must pass.
package registrytest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/internal/registry"
)

// Site is one registry that several processes share.
type Site struct {
	// Open gives the registry as another process sees it.
	Open func() registry.Registry

	// Halt stops a process that Open gave, for longer than an expiry, while the others go on. It
	// may return before that time is over; the suite waits for the effect.
	Halt func(registry.Registry)

	// Resume lets it go on.
	Resume func(registry.Registry)
}

// Test tests a Registry; open gives an empty site.
func Test(t *testing.T, open func(t *testing.T) Site) {
	for _, s := range []struct {
		name  string
		story func(*world)
	}{
		{"all see a node that registers", allSee},
		{"versions rise with every change and with nothing else", versionsRise},
		{"a view is superseded by the next one", superseded},
		{"a node that leaves is gone", leaves},
		{"a node that registers again has another epoch", registersAgain},
		{"a node that drains owns nothing", drains},
		{"a node that stands still is dead, and told so", standsStill},
		{"an epoch that was registered has not ended for those who do not know it", unknownLives},
		{"counts are passed on", countsPass},
		{"a node without id or role is refused", refused},
		{"many at once", many},
	} {
		t.Run(s.name, func(t *testing.T) { s.story(&world{t: t, Site: open(t)}) })
	}
}

// world is a site under test.
type world struct {
	t *testing.T
	Site
}

func nodeOf(id uint64, role registry.Role) registry.Node {
	return registry.Node{ID: id, Role: role, Addresses: map[string]string{"rpc": "10.0.0.1:7001", "debug": "10.0.0.1:7002"}, Keys: []string{"one", "two"}}
}

func (w *world) register(r registry.Registry, id uint64, role registry.Role) registry.Registration {
	w.t.Helper()
	own, err := r.Register(w.t.Context(), nodeOf(id, role))
	if err != nil || own.Epoch() == 0 {
		w.t.Fatalf("registering gave %v, %v", own, err)
	}
	return own
}

// view gives a view with all that was registered before.
func (w *world) view(r registry.Registry) *registry.View {
	w.t.Helper()
	if err := r.Refresh(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return r.View()
}

func (w *world) wantEnded(r registry.Registry, epoch uint64, want bool) {
	w.t.Helper()
	if got, err := r.Ended(w.t.Context(), epoch); err != nil || got != want {
		w.t.Fatalf("that epoch %x has ended is said to be %v, %v; want %v", epoch, got, err, want)
	}
}

// eventually waits for a condition.
func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("after a minute it is still not so that %s", what)
		}
	}
}

func allSee(w *world) {
	a, b := w.Open(), w.Open()
	if got := w.view(b).Nodes; len(got) != 0 {
		w.t.Fatalf("an empty registry has %+v", got)
	}
	gateway, logic := w.register(a, 7, registry.Gateway), w.register(a, 3, registry.Logic)
	for _, r := range []registry.Registry{a, b} {
		v := w.view(r)
		if len(v.Nodes) != 2 || v.Nodes[0].ID != 3 || v.Nodes[1].ID != 7 {
			w.t.Fatalf("the nodes are %+v", v.Nodes)
		}
		n, ok := v.Epoch(gateway.Epoch())
		if !ok || n.ID != 7 || n.Role != registry.Gateway || n.State != registry.Serving || n.Epoch != gateway.Epoch() ||
			!maps.Equal(n.Addresses, nodeOf(7, registry.Gateway).Addresses) || !slices.Equal(n.Keys, []string{"one", "two"}) || time.Since(n.Since).Abs() > time.Hour {
			w.t.Fatalf("the gateway is %+v, %v", n, ok)
		}
		if of := v.Of(registry.Logic); len(of) != 1 || of[0].Epoch != logic.Epoch() {
			w.t.Fatalf("the nodes of logic are %+v", of)
		}
		if of := v.Of(registry.Transfer); len(of) != 0 {
			w.t.Fatalf("the nodes of transfer are %+v", of)
		}
		if _, ok := v.Epoch(1); ok {
			w.t.Fatal("an epoch that nobody has is in the view")
		}
		w.wantEnded(r, gateway.Epoch(), false)
	}
	if gateway.Epoch() == logic.Epoch() {
		w.t.Fatal("two registrations have one epoch")
	}
}

func versionsRise(w *world) {
	a, b := w.Open(), w.Open()
	w.eventually("it is settled", func() bool { return !w.view(b).Settling }) // which raises the version
	last := w.view(b).Version
	var own registry.Registration
	for i, step := range []struct {
		name    string
		changes bool
		do      func() error
	}{
		{"a registration", true, func() error { own = w.register(a, 1, registry.Logic); return nil }},
		{"nothing", false, func() error { return nil }},
		{"a count", false, func() error { own.Count(5); return nil }},
		{"another registration", true, func() error { w.register(b, 2, registry.Logic); return nil }},
		{"draining", true, func() error { return own.SetState(w.t.Context(), registry.Draining) }},
		{"draining once more", false, func() error { return own.SetState(w.t.Context(), registry.Draining) }},
		{"serving", true, func() error { return own.SetState(w.t.Context(), registry.Serving) }},
		{"leaving", true, func() error { return own.Leave(w.t.Context()) }},
		{"leaving once more", false, func() error { return own.Leave(w.t.Context()) }},
	} {
		if err := step.do(); err != nil {
			w.t.Fatalf("%s: %v", step.name, err)
		}
		v, other := w.view(b), w.view(a)
		if v.Version != other.Version {
			w.t.Fatalf("step %d, %s: one process has version %d, the other %d", i, step.name, v.Version, other.Version)
		}
		if v.Version < last || v.Version > last != step.changes {
			w.t.Fatalf("step %d, %s: version %d follows %d", i, step.name, v.Version, last)
		}
		last = v.Version
	}
}

func superseded(w *world) {
	a, b := w.Open(), w.Open()
	old := w.view(b)
	select {
	case <-old.Superseded():
		w.t.Fatal("the newest view is superseded")
	default:
	}
	w.register(a, 1, registry.Logic)
	select { // without a call of Refresh
	case <-old.Superseded():
	case <-time.After(time.Minute):
		w.t.Fatal("nothing says that there is a newer view")
	}
	if v := b.View(); v.Version <= old.Version || len(v.Nodes) != 1 || len(old.Nodes) != 0 {
		w.t.Fatalf("view %d with %d nodes supersedes %d with %d", v.Version, len(v.Nodes), old.Version, len(old.Nodes))
	}
}

func leaves(w *world) {
	a, b := w.Open(), w.Open()
	own := w.register(a, 1, registry.Gateway)
	stays := w.register(b, 2, registry.Gateway)
	w.view(b)
	if err := own.Leave(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if nodes := w.view(b).Nodes; len(nodes) != 1 || nodes[0].Epoch != stays.Epoch() {
		w.t.Fatalf("after one left there are %+v", nodes)
	}
	w.wantEnded(b, own.Epoch(), true)
	w.wantEnded(a, own.Epoch(), true)
	w.wantEnded(a, stays.Epoch(), false)
	if err := own.SetState(w.t.Context(), registry.Draining); err == nil {
		w.t.Fatal("a node that left was changed")
	}
	if nodes := w.view(a).Nodes; len(nodes) != 1 {
		w.t.Fatalf("a node that left is back: %+v", nodes)
	}
	select {
	case <-own.Ended():
		w.t.Fatal("a node that left is told that it has ended")
	default:
	}
}

func registersAgain(w *world) {
	a, b := w.Open(), w.Open()
	seen := make(map[uint64]bool)
	var last uint64
	for range 20 {
		own := w.register(a, 1, registry.Gateway)
		if seen[own.Epoch()] {
			w.t.Fatalf("epoch %x came again", own.Epoch())
		}
		seen[own.Epoch()] = true
		if nodes := w.view(b).Nodes; len(nodes) != 1 || nodes[0].Epoch != own.Epoch() {
			w.t.Fatalf("one node, registered again, is there as %+v", nodes)
		}
		if last != 0 {
			w.wantEnded(b, last, true)
		}
		w.wantEnded(b, own.Epoch(), false)
		last = own.Epoch()
	}
}

func drains(w *world) {
	a, b := w.Open(), w.Open()
	one, two := w.register(a, 1, registry.Logic), w.register(b, 2, registry.Logic)
	owned := func(v *registry.View) map[uint64]int {
		n := make(map[uint64]int)
		for q := range uint32(64) {
			if owner, ok := registry.Owner(registry.Logic, registry.Queue{Number: q}, v); ok {
				n[owner.Epoch]++
			}
		}
		return n
	}
	if n := owned(w.view(b)); n[one.Epoch()] == 0 || n[two.Epoch()] == 0 || n[one.Epoch()]+n[two.Epoch()] != 64 {
		w.t.Fatalf("of two nodes they own %v", n)
	}
	if err := one.SetState(w.t.Context(), registry.Draining); err != nil {
		w.t.Fatal(err)
	}
	v := w.view(b)
	if n, _ := v.Epoch(one.Epoch()); n.State != registry.Draining || n.ID != 1 {
		w.t.Fatalf("the node that drains is %+v", n)
	}
	if n := owned(v); n[two.Epoch()] != 64 {
		w.t.Fatalf("while one drains they own %v", n)
	}
	if err := two.SetState(w.t.Context(), registry.Draining); err != nil {
		w.t.Fatal(err)
	}
	if n := owned(w.view(a)); len(n) != 0 {
		w.t.Fatalf("while both drain they own %v", n)
	}
	w.wantEnded(b, one.Epoch(), false)
}

func standsStill(w *world) {
	a, b := w.Open(), w.Open()
	own, other := w.register(a, 1, registry.Gateway), w.register(b, 2, registry.Gateway)
	before := w.view(b).Version
	w.Halt(a)
	w.eventually("the node that stands still is gone", func() bool {
		_, there := b.View().Epoch(own.Epoch())
		return !there
	})
	if v := b.View(); v.Version <= before || len(v.Nodes) != 1 {
		w.t.Fatalf("version %d with %+v follows %d", v.Version, v.Nodes, before)
	}
	w.wantEnded(b, own.Epoch(), true)
	w.wantEnded(b, other.Epoch(), false)
	w.Resume(a)
	select {
	case <-own.Ended():
	case <-time.After(time.Minute):
		w.t.Fatal("it is not told")
	}
	w.wantEnded(a, own.Epoch(), true)
	again := w.register(a, 1, registry.Gateway)
	if again.Epoch() == own.Epoch() {
		w.t.Fatal("it has its epoch again")
	}
	if nodes := w.view(b).Nodes; len(nodes) != 2 || nodes[0].Epoch != again.Epoch() {
		w.t.Fatalf("after it came back there are %+v", nodes)
	}
	w.wantEnded(b, own.Epoch(), true)
	select {
	case <-other.Ended():
		w.t.Fatal("the other one is told that it has ended")
	default:
	}
}

// unknownLives: a reader whose view is old asks before it says that an epoch has ended.
func unknownLives(w *world) {
	a, b := w.Open(), w.Open()
	w.eventually("an epoch that never was has ended", func() bool {
		ended, err := b.Ended(w.t.Context(), 12345)
		return ended && err == nil
	})
	for id := uint64(1); id <= 200; id++ {
		own := w.register(a, id, registry.Gateway)
		w.wantEnded(b, own.Epoch(), false)
	}
}

func countsPass(w *world) {
	a, b := w.Open(), w.Open()
	one, two := w.register(a, 1, registry.Gateway), w.register(b, 2, registry.Gateway)
	counts := func(r registry.Registry) map[uint64]uint64 {
		got, err := r.Counts(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		return got
	}
	one.Count(1000)
	two.Count(7)
	want := map[uint64]uint64{one.Epoch(): 1000, two.Epoch(): 7}
	w.eventually("both counts are known", func() bool { return maps.Equal(counts(a), want) && maps.Equal(counts(b), want) })
	one.Count(1001)
	w.eventually("a count rises", func() bool { return counts(b)[one.Epoch()] == 1001 })
	if err := one.Leave(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if got := counts(b); len(got) != 1 || got[two.Epoch()] != 7 {
		w.t.Fatalf("after one left the counts are %v", got)
	}
}

func refused(w *world) {
	a := w.Open()
	for _, n := range []registry.Node{{}, {ID: 1}, {Role: registry.Logic}} {
		if _, err := a.Register(w.t.Context(), n); err == nil {
			w.t.Fatalf("%+v was registered", n)
		}
	}
	if nodes := w.view(a).Nodes; len(nodes) != 0 {
		w.t.Fatalf("there are %+v", nodes)
	}
}

// many: nodes come, change and leave at the same time. In the end all nodes that stayed are
// there, and no process has ever seen a version fall.
func many(w *world) {
	const processes, each = 4, 10
	var wg sync.WaitGroup
	all := make([]registry.Registry, processes)
	for i := range all {
		all[i] = w.Open()
	}
	for i, r := range all {
		wg.Go(func() {
			last := r.View().Version
			for n := range each {
				id := uint64(i*each + n + 1)
				own, err := r.Register(w.t.Context(), nodeOf(id, registry.Logic))
				if err == nil {
					err = own.SetState(w.t.Context(), registry.Draining)
				}
				if err == nil && n%2 == 1 {
					err = own.Leave(w.t.Context())
				}
				if err != nil {
					w.t.Error(err)
				}
				v := r.View().Version
				if v < last {
					w.t.Errorf("version %d follows %d", v, last)
				}
				last = v
			}
		})
	}
	wg.Wait()
	for _, r := range all {
		v := w.view(r)
		if len(v.Nodes) != processes*each/2 {
			w.t.Fatalf("%d nodes are there, want %d", len(v.Nodes), processes*each/2)
		}
		for _, n := range v.Nodes {
			if n.ID%2 == 0 || n.State != registry.Draining {
				w.t.Fatalf("%+v is there", n)
			}
		}
	}
}
