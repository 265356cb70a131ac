//go:build cluster

package view_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/redis"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
)

// options say how a store of a test works.
type options struct {
	addresses []string
	name      string
	queues    int
	cache     int // conversations of each ledger
	devices   int // of a user in a conversation; 0: as many as ledgers know by default
	now       func() time.Time
	publish   func(*hop.Record) // nil: nobody
	hurried   bool              // lists wait for counts no longer than those of a server
}

// view makes a View. Its lists wait for counts of a machine that is busy.
func (o options) view(t testing.TB, client *redis.Client, counts view.Counts) *view.View {
	t.Helper()
	p := view.Options{Name: o.name, Queues: queuesOf(o.queues), Counts: counts, Patience: time.Minute}
	if o.hurried {
		p.Patience = 0
	}
	v, err := view.New(client, p)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// store is a logic.Log that takes what ledgers work out into the memory of a test, which
// stands for the queue and its readers, and then into the view, under rising marks.
type store struct {
	t        testing.TB
	options  options
	client   *redis.Client
	view     *view.View
	memory   *memory
	queues   []*queue
	closing  chan struct{}
	flushing sync.WaitGroup
}

type queue struct {
	line   ledger.Line
	ledger *ledger.Ledger
	writer *view.Writer
	name   chain.Queue
	record hop.Record
	number uint64
}

// source is a ledger.Source.
type source struct {
	*view.Writer
	*memory
}

func queuesOf(n int) (list []chain.Queue) {
	for i := range n {
		list = append(list, chain.Queue{Class: chain.Chat, Number: i})
	}
	return list
}

// openStore takes over what is in Redis and in memory.
func openStore(t testing.TB, o options, m *memory) *store {
	t.Helper()
	s := &store{t: t, options: o, memory: m, closing: make(chan struct{})}
	s.client = newClient(t, o.addresses)
	if s.options.now == nil {
		s.options.now = time.Now
	}
	s.view = o.view(t, s.client, m)
	for i, name := range queuesOf(o.queues) {
		w, err := s.view.Writer(name)
		if err != nil {
			t.Fatal(err)
		}
		state, err := w.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.Believe(state.Mark, state.Stamp)
		q := &queue{writer: w, name: name, number: uint64(state.Mark.Offset + 1)}
		q.ledger = ledger.New(ledger.Options{Queue: i, Queues: o.queues, Conversations: o.cache, Checkpoint: 1, Loads: 4096, Devices: o.devices}, source{w, m})
		s.queues = append(s.queues, q)
		if err := q.forward(t.Context(), nil); err != nil { // the record of a take-over
			t.Fatal(err)
		}
		if err := w.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.flushing.Go(s.writeAcks)
	return s
}

// forward brings the view forward by one record.
func (q *queue) forward(ctx context.Context, change *ledger.Change) error {
	q.number++
	return q.writer.Forward(ctx, chain.Mark{Offset: int64(q.number) - 1, Writer: 7, Number: q.number}, change)
}

// clockOf is a clock that a test moves, in Unix milliseconds.
func clockOf(at *int64) func() time.Time { return func() time.Time { return time.UnixMilli(*at) } }

// Apply implements logic.Log.
func (s *store) Apply(ctx context.Context, batches []*logic.Batch) error {
	var wg sync.WaitGroup
	for _, b := range batches {
		if b.Queue < 0 || b.Queue >= len(s.queues) {
			fail(b, errors.New("there is no such queue"))
			continue
		}
		q := s.queues[b.Queue]
		wg.Go(func() {
			err := q.line.Do(ctx, b, func(batches []*logic.Batch) {
				if err := s.write(context.WithoutCancel(ctx), q, batches, false); err != nil {
					for _, b := range batches {
						fail(b, err)
					}
				}
			})
			if err != nil {
				fail(b, err)
			}
		})
	}
	wg.Wait()
	return nil
}

func fail(b *logic.Batch, err error) {
	b.Err = fmt.Errorf("%w: %w", logic.ErrUnavailable, err)
	for i := range b.Entries {
		b.Entries[i].Outcome = logic.Unknown
	}
}

func (s *store) write(ctx context.Context, q *queue, batches []*logic.Batch, acks bool) error {
	for q.ledger.Recall(ctx) {
	}
	change, err := q.ledger.Apply(ctx, ledger.Input{
		Batches: batches, Stamp: q.writer.Stamp() + 1, Now: uint64(s.options.now().UnixMilli()), Acks: acks,
	})
	if err != nil {
		return err
	}
	if change.Empty() {
		q.ledger.Settle()
		return nil
	}
	if err := s.memory.add(change); err != nil {
		s.t.Error(err)
	}
	if err := q.forward(ctx, change); err != nil {
		q.ledger.Abandon()
		return err
	}
	q.ledger.Record(batches, &q.record)
	q.record.Mark = q.number
	q.ledger.Settle()
	if s.options.publish != nil && slices.ContainsFunc(q.record.Entries, func(e hop.RecordEntry) bool { return e.Frame.Len() > 0 }) {
		s.options.publish(&q.record)
	}
	return nil
}

// writeAcks writes acks that wait.
func (s *store) writeAcks() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C:
			s.flush(s.t.Context(), false)
		}
	}
}

func (s *store) flush(ctx context.Context, all bool) {
	for _, q := range s.queues {
		for q.ledger.Due(uint64(s.options.now().UnixMilli()), all) {
			if ctx.Err() != nil {
				return
			}
			_ = q.line.Do(ctx, nil, func(batches []*logic.Batch) {
				if err := s.write(ctx, q, batches, all); err != nil {
					for _, b := range batches {
						fail(b, err)
					}
				}
			})
		}
	}
}

// Changed implements logic.Inbox: acks that wait in ledgers are not in any view, so they
// are written before.
func (s *store) Changed(ctx context.Context, q logic.InboxQuery) (logic.InboxPage, error) {
	s.flush(ctx, true)
	return s.view.Changed(ctx, q)
}

func (s *store) close() {
	s.stop()
	s.flush(s.t.Context(), true)
}

// stop ends the store without writing anything more.
func (s *store) stop() {
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
	s.flushing.Wait()
}
