package embedded

import (
	"context"
	"time"

	"gannet/internal/limiter"
	"gannet/logic"
	"gannet/logic/ledger"
)

// ledger gives queue i its ledger, in which no seq up to the floor is given out.
func (s *Store) ledger(i int, opts *Options, floor uint64) *ledger.Ledger {
	o := ledger.Options{
		Queue: i, Queues: opts.Queues,
		Conversations: opts.CacheConversations / opts.Queues,
		ClientIDs:     cacheClientIDs / opts.Queues,
		Checkpoint:    checkpoint,
		Floor:         floor,
		Devices:       opts.Devices,
		Waiting:       s.wakeRecalls,
	}
	if l := opts.Limiter; l != nil {
		o.Admit = func(user uint64) time.Duration { return l.Take(limiter.NewConversations, limiter.User(user), 1) }
	}
	source := ledger.Source(s)
	if opts.source != nil {
		source = opts.source(s)
	}
	return ledger.New(o, source)
}

// wakeRecalls has the windows read back that wait for it.
func (s *Store) wakeRecalls() {
	select {
	case s.recalls <- struct{}{}:
	default:
	}
}

// readRecalls reads windows back for the ledgers of all queues, in turn, until the store
// closes. It rests for as long as it reads: whoever has much read back takes at most half
// a core from the others.
func (s *Store) readRecalls() {
	for {
		select {
		case <-s.closing:
			return
		case <-s.failure:
			return
		case <-s.recalls:
		}
		for more := true; more; {
			more = false
			begun := time.Now()
			for _, q := range s.queues {
				if s.recall(q) {
					more = true
					_ = q.line.Do(s.ending, nil, func(batches []*logic.Batch) {
						_ = s.write(context.WithoutCancel(s.ending), q, batches, false)
					})
				}
			}
			if more {
				select {
				case <-s.closing:
					return
				case <-time.After(time.Since(begun)):
				}
			}
		}
	}
}

// recall reads windows back for one ledger, and says whether any waited. A panic there is
// a bug that concerns these windows alone.
func (s *Store) recall(q *queue) (did bool) {
	defer func() {
		if cause := recover(); cause != nil {
			did = true
			s.survived("reading client ids back", q.index, cause)
		}
	}()
	return q.ledger.Recall(s.ending)
}
