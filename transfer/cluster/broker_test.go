//go:build cluster

package cluster

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/services/servicestest"
)

// surely puts a record whatever the broker does, as its owner would.
func (w *writer) surely(record *hop.Record) {
	ctx := context.Background()
	w.now = time.UnixMilli(int64(record.Time))
	body := record.AppendEntries(nil)
	for {
		mark, err := w.chain.Append(ctx, body)
		if err == nil {
			w.forward(mark)
			return
		}
		for !errors.Is(err, chain.ErrRefused) {
			doubt, err := w.chain.TakeOver(ctx)
			if err != nil {
				time.Sleep(10 * time.Millisecond)
				continue
			}
			w.forward(w.chain.Last())
			if doubt.Counts {
				return
			}
			break
		}
	}
}

// The broker is killed, started again, and stopped for a while under load: every record
// comes, in order, and none that does not count.
func TestBrokerThatDies(t *testing.T) {
	services := servicestest.Own(t, "--only=rocketmq")
	s := newSceneOn(t, 1, services.Address(t, "GANNET_TEST_ROCKETMQ"), 500*time.Millisecond, servicestest.Redis(t))
	s.node(1)
	q := s.open(1)
	must(t, q.Begin(t.Context(), 0))
	w := s.writers[0]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var taken []string // the first time of each
	var last atomic.Int64
	ends := make(chan error, 100)
	over := make(chan struct{})
	go func() {
		defer close(over)
		seen := map[string]bool{}
		for ctx.Err() == nil {
			ends <- q.Follow(ctx, 0, func(_ context.Context, r *hop.Record, done func()) {
				if body := bodyOf(r); !seen[body] {
					seen[body] = true
					taken = append(taken, body)
					n, _ := strconv.Atoi(body)
					last.Store(int64(n))
				}
				done()
			})
		}
	}()

	var written atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			w.surely(message(0, i, strconv.Itoa(i)))
			written.Store(int64(i))
		}
	}()
	goesOn := func(what string) {
		from := written.Load() + 50
		eventually(t, "it goes on "+what, func() bool { return last.Load() > from })
	}
	goesOn("at first")
	for range 2 {
		services.Kill(t, servicestest.PartBroker, "KILL")
		services.Start(t, servicestest.PartBroker)
		goesOn("after kill -9")
	}
	before := s.stream.Troubles().GivenUp.Times()
	services.Kill(t, servicestest.PartBroker, "STOP")
	eventually(t, "that a pull is given up", func() bool { return s.stream.Troubles().GivenUp.Times() > before })
	services.Kill(t, servicestest.PartBroker, "CONT")
	goesOn("after a stop")
	close(stop)
	<-stopped
	eventually(t, "the last record", func() bool { return last.Load() == written.Load() })
	cancel()
	<-over
	var want []string
	for i := range written.Load() {
		want = append(want, strconv.Itoa(int(i)+1))
	}
	if !slices.Equal(taken, want) {
		t.Errorf("of %d records %d came, or they came in another order", len(want), len(taken))
	}
	for len(ends) > 0 {
		if err := <-ends; !errors.Is(err, context.Canceled) {
			t.Errorf("following ended with %v", err)
		}
	}
	t.Logf("%d records; counted %v", len(want), q.Vars())
}
