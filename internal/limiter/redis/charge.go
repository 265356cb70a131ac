package redis

import (
	"context"
	"time"

	"gannet/internal/operate"
)

// enqueue asks for a charge. It returns false if there is no room; the next Take then asks again.
func (l *Limiter) enqueue(a account) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.due <- a:
		l.pending++
		return true
	default:
		l.counts.skipped.Add(1)
		return false
	}
}

// Flush waits until nothing is being charged.
func (l *Limiter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.pending > 0 {
		l.idle.Wait()
	}
}

// work charges accounts from the queue until ctx ends.
func (l *Limiter) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-l.due:
			l.charge(ctx, a)
			l.mu.Lock()
			if l.pending--; l.pending == 0 {
				l.idle.Broadcast()
			}
			l.mu.Unlock()
		}
	}
}

// charge charges the tokens that an account owes.
func (l *Limiter) charge(ctx context.Context, a account) {
	kind, s := &l.kinds[a.kind], l.shard(&a)
	s.mu.Lock()
	o := s.owed[a]
	n := o.tokens
	o.tokens = 0
	s.owed[a] = o
	s.mu.Unlock()

	allowed, began := n, l.now()
	full := time.Duration(0) // after which the shared bucket is full
	if operate.Elapsed() < time.Duration(l.away.Load()) {
		l.counts.skipped.Add(1)
	} else {
		allowed, full = l.ask(ctx, a, n)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	o = s.owed[a]
	o.queued = false
	o.debt = min(o.debt+n-allowed, kind.limit.Burst-1)
	s.owed[a] = o
	if full > 0 {
		// What was taken here while Redis was asked is missing too.
		each := float64(kind.full) / float64(kind.limit.Rate)
		l.local.Drain(a.kind, a.subject, full+time.Duration(float64(o.tokens)*each)-l.now().Sub(began))
	}
}

// ask takes n tokens from the shared bucket, or as many as there are.
func (l *Limiter) ask(ctx context.Context, a account, n int) (allowed int, full time.Duration) {
	kind := &l.kinds[a.kind]
	bounded, cancel := l.bound(ctx)
	defer cancel()
	result, err := l.shared.AllowAtMost(bounded, l.key(&a), kind.limit, n)
	if err == nil && result.ResetAfter > kind.full+kind.full/time.Duration(kind.limit.Rate)+resetSlop {
		// The clock of Redis was set back: nobody would get anything for as long.
		err = l.shared.Reset(bounded, l.key(&a))
		result.Allowed, result.ResetAfter = n, 0
	}
	if err != nil {
		l.away.Store(int64(operate.Elapsed() + awayFor))
		if ctx.Err() == nil && l.counts.unanswered.Note() {
			l.logger.Warn("limiter: Redis does not answer; each process limits by itself", "error", err)
		}
		return n, 0
	}
	l.counts.charged.Add(1)
	if result.Allowed < n {
		l.counts.short.Add(1)
	}
	return min(max(result.Allowed, 0), n), result.ResetAfter
}
