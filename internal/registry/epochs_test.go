package registry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"gannet/internal/registry"
)

// late is a registry whose view is old until it is asked for an epoch.
type late struct {
	*registry.Memory
	view *registry.View
	err  error
}

func (l *late) View() *registry.View { return l.view }

func (l *late) Ended(ctx context.Context, epoch uint64) (bool, error) {
	if l.err != nil {
		return true, l.err
	}
	l.view = l.Memory.View()
	return l.Memory.Ended(ctx, epoch)
}

// An epoch that is not known is asked for, and given up only if it is known to have ended.
func TestEpochs(t *testing.T) {
	m := registry.NewMemory()
	l := &late{Memory: m, view: m.View()}
	e := registry.Epochs{Registry: l}
	node := registry.Node{ID: 1, Role: registry.Gateway, Addresses: map[string]string{registry.RPC: "10.0.0.1:1"}}
	own, err := m.Register(t.Context(), node)
	if err != nil {
		t.Fatal(err)
	}
	l.err = errors.New("away")
	if address, ended := e.Gateway(own.Epoch()); address != "" || ended {
		t.Errorf("an epoch that is not known while the registry is away: %q, %v", address, ended)
	}
	l.err = nil
	if address, ended := e.Gateway(own.Epoch()); address != "10.0.0.1:1" || ended {
		t.Errorf("an epoch that the view does not have: %q, %v", address, ended)
	}
	other, err := m.Register(t.Context(), registry.Node{ID: 2, Role: registry.Logic, Addresses: node.Addresses})
	if err != nil {
		t.Fatal(err)
	}
	if address, ended := e.Gateway(other.Epoch()); address != "" || ended {
		t.Errorf("a node that is no gateway: %q, %v", address, ended)
	}
	m.End(own.Epoch())
	if address, ended := e.Gateway(own.Epoch()); address != "10.0.0.1:1" || ended {
		t.Errorf("one that has ended, as the view does not know: %q, %v", address, ended)
	}
	l.view = m.View()
	if address, ended := e.Gateway(own.Epoch()); address != "" || !ended {
		t.Errorf("one that has ended: %q, %v", address, ended)
	}
}

// flaky is a registry that does not answer at first.
type flaky struct {
	*registry.Memory
	fails int
}

func (f *flaky) Register(ctx context.Context, n registry.Node) (registry.Registration, error) {
	if f.fails--; f.fails >= 0 {
		return nil, errors.New("away")
	}
	return f.Memory.Register(ctx, n)
}

// A keeper registers its node under one epoch after the other, in the state that it was
// told, and leaves in the end.
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &flaky{Memory: registry.NewMemory(), fails: 3}
		k := registry.NewKeeper(m, registry.Node{ID: 1, Role: registry.Gateway}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		began := make(chan registry.Registration)
		over := make(chan struct{})
		go func() {
			defer close(over)
			k.Run(ctx, func(r registry.Registration) { began <- r })
		}()
		first := <-began
		if m.fails >= 0 {
			t.Errorf("it is registered, and %d failures did not come yet", m.fails)
		}
		if err := k.SetState(t.Context(), registry.Draining); err != nil {
			t.Error(err)
		}
		m.End(first.Epoch())
		second := <-began
		if n, lives := m.View().Epoch(second.Epoch()); !lives || n.State != registry.Draining || first.Epoch() == second.Epoch() {
			t.Errorf("registered again as %+v, %v", n, lives)
		}
		k.Count(7)
		if counts, err := m.Counts(t.Context()); err != nil || counts[second.Epoch()] != 7 {
			t.Errorf("counted %v, %v", counts, err)
		}
		cancel()
		<-over
		if len(m.View().Nodes) != 0 {
			t.Errorf("left behind: %+v", m.View().Nodes)
		}
	})
}
