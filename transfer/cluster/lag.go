package cluster

import (
	"context"
	"sync"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

// setUnread notes whether this node is to read a queue. A queue that it is to read and that has no
// follower is unread from now on.
func (q *Queue) setUnread(queue int, is bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, noted := q.unread[queue]
	switch {
	case !is:
		delete(q.unread, queue)
	case !noted && q.followers[queue] == nil:
		q.unread[queue] = q.now()
	}
}

// Gauges says for each queue of this node's share how far the node is behind, for how long the
// queue could not be read, and how many of its records are parked. It leaves the lag out if it is
// unknown: if neither a follower nor Redis knows how far the queue was pushed, or if the broker does
// not answer. If Redis does not answer, it leaves out how many are parked.
func (q *Queue) Gauges(ctx context.Context) []operate.OfQueue {
	now := q.now()
	q.mu.Lock()
	followers := make(map[int]*follower)
	unread := make(map[int]time.Duration)
	for n, f := range q.followers {
		followers[n], unread[n] = f, 0
	}
	for n, since := range q.unread {
		unread[n] = now.Sub(since)
	}
	for n, f := range q.failing {
		if _, here := unread[n]; here && f.lasts(now) { // it may be read for a moment now and then
			unread[n] = now.Sub(f.since)
		}
	}
	q.mu.Unlock()

	var mu sync.Mutex
	var list []operate.OfQueue
	var asked sync.WaitGroup
	for n, d := range unread {
		name := chain.Queue{Class: q.class, Number: n}
		if mine, _ := q.share.mine(name); !mine {
			continue
		}
		add := func(gauge operate.QueueGauge, value float64) {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, operate.OfQueue{Gauge: gauge, Class: q.class.String(), Queue: n, Value: value})
		}
		add(operate.TransferUnread, operate.Seconds(d))
		asked.Go(func() {
			if parked, err := q.parking.Count(ctx, name); err == nil {
				add(operate.TransferParked, float64(parked))
			} else {
				q.counts.failedLag.Count()
			}
		})
		asked.Go(func() {
			u, known := q.lag(ctx, name, followers[n])
			if !known {
				return
			}
			add(operate.TransferLagRecords, float64(u.Records))
			switch {
			case u.Records == 0:
				add(operate.TransferLag, 0)
			case !u.Since.IsZero():
				add(operate.TransferLag, operate.Seconds(now.Sub(u.Since)))
			}
		})
	}
	asked.Wait()
	return list
}

// lag says how much of a queue is not pushed yet. If the queue has no follower, lag asks Redis for
// the mark.
func (q *Queue) lag(ctx context.Context, name chain.Queue, f *follower) (u chain.Unread, known bool) {
	var from int64
	if f != nil {
		from = f.undone.from(f.handed.Load())
	} else {
		mark, found, err := q.state.own(ctx, name)
		if err != nil {
			q.counts.failedLag.Count()
		}
		if err != nil || !found {
			return u, false
		}
		from = mark.Offset + 1
	}
	u, err := chain.UnreadFrom(ctx, q.stream, name, from)
	if err != nil {
		q.counts.failedLag.Count()
	}
	return u, err == nil
}
