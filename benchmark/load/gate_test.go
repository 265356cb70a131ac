package load

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAGateHoldsAndLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := New(Config{Users: 4, Window: 1, Size: 128, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		pass := func(ctx context.Context, i int) error { return l.users[i].wire.gate.pass(ctx) }
		if err := pass(t.Context(), 0); err != nil {
			t.Errorf("a gate that nobody shut: %v", err)
		}
		l.HoldConnects()
		l.HoldConnects()
		var through atomic.Int64
		var all sync.WaitGroup
		for i := range l.users {
			all.Go(func() {
				if err := pass(t.Context(), i); err != nil {
					t.Errorf("user %d: %v", i, err)
				}
				through.Add(1)
			})
			if i < 3 {
				if err := l.AwaitWaiting(t.Context(), time.Second); err == nil || !strings.Contains(err.Error(), "of 4 users") {
					t.Errorf("with %d waiting: %v", i+1, err)
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := pass(ctx, 0); !errors.Is(err, context.DeadlineExceeded) { // and is not counted any more
			t.Errorf("whoever gives up: %v", err)
		}
		if err := l.AwaitWaiting(t.Context(), time.Second); err != nil {
			t.Error(err)
		}
		if n := through.Load(); n != 0 {
			t.Errorf("%d went through a gate that is shut", n)
		}
		l.LetConnect()
		l.LetConnect()
		all.Wait()
		if n := through.Load(); n != 4 {
			t.Errorf("%d of 4 went through", n)
		}
		if err := pass(t.Context(), 0); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestWithoutAGateNobodyWaits(t *testing.T) {
	var w wire
	if err := w.gate.pass(t.Context()); err != nil {
		t.Error(err)
	}
}
