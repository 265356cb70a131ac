package owner

import (
	"context"
	"sync"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

// Gauges says, for each queue of this node, for how long it could not be written and how far the
// history is behind.
func (o *Owner) Gauges(ctx context.Context) []operate.OfQueue {
	now := o.options.Now()
	var mu sync.Mutex
	var list []operate.OfQueue
	var asked sync.WaitGroup
	for _, q := range o.queues {
		if !q.ours() {
			continue
		}
		add := func(gauge operate.QueueGauge, value float64) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, operate.OfQueue{Gauge: gauge, Class: q.name.Class.String(), Queue: q.name.Number, Value: value})
		}
		var unwritable time.Duration
		if u := q.unable.Load(); u != nil {
			unwritable = now.Sub(u.since)
		}
		add(operate.Unwritable, operate.Seconds(unwritable))
		if t := q.term.Load(); t != nil && t.feed != nil {
			asked.Go(func() {
				records, age := t.feed.lag(ctx, now)
				if records >= 0 {
					add(operate.HistoryLagRecords, float64(records))
				}
				if age >= 0 {
					add(operate.HistoryLag, operate.Seconds(age))
				}
			})
		}
	}
	asked.Wait()
	return list
}

// lag gives how many records of the view the history lacks, and the age of the oldest of them. A
// negative value means that it is not known. As long as the history has not said what it has, the
// age is the time since the term began: the history is behind for at least that long.
func (f *feed) lag(ctx context.Context, now time.Time) (records int64, age time.Duration) {
	q := f.term.queue
	last := f.term.view.Mark()
	at, known := q.owner.options.Feeder.Inserted(q.name)
	switch {
	case !known:
		return -1, max(now.Sub(f.began), 0)
	case at.Offset >= last.Offset:
		return 0, 0
	}
	u, err := chain.UnreadFrom(ctx, q.owner.options.Stream, q.name, at.Offset+1)
	if err != nil {
		q.owner.troubles.lag.Count()
	}
	if u.Since.IsZero() {
		return last.Offset - at.Offset, -1
	}
	return last.Offset - at.Offset, max(now.Sub(u.Since), 0)
}
