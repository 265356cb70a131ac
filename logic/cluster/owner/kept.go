package owner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

const (
	// keptTime is how long a take-over waits for the history to say what it has of the queue. The
	// history may be away, and must not hold a take-over up.
	keptTime = 300 * time.Millisecond

	// keptPause is after how long a history that did not answer is asked again, and how long it
	// then has to answer. Nobody waits for that answer.
	keptPause = 5 * time.Second

	// lagTime is how long a broker may lag: a record that it does not give by then counts as
	// missing.
	lagTime = 5 * time.Second
)

// errKept says that the history has what the broker does not have.
var errKept = errors.New("ClickHouse has more of the queue than Redis has, and the broker does not have it: `gannet mend` says what to do")

// findsKept checks before a take-over that the broker has the newest record that the history has
// taken in, if that is past mark. If broker and Redis both came back older, only the history shows
// that there were more records, and their seqs would be given out again. A history that does not
// answer is asked again later (askKept).
func (t *term) findsKept(ctx context.Context, mark chain.Mark) error {
	q := t.queue
	h := q.owner.options.History
	if h == nil {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, keptTime)
	defer cancel()
	kept, err := h.Most(soon, q.name)
	if err != nil {
		t.unasked = &mark
		q.owner.warn(&q.owner.troubles.unasked, "a queue is taken over without what ClickHouse has of it, which does not say; it is asked again", q, err)
		return nil
	}
	if kept.Offset <= mark.Offset {
		return nil
	}
	if err = q.finds(ctx, kept); err == nil || errors.Is(err, chain.ErrRetention) {
		return nil
	}
	if lost(err) {
		q.lack(kept)
	}
	return fmt.Errorf("%w: %w", errKept, err)
}

// askKept is for a queue that was taken over before the history said what it has of it. It asks
// until the history answers or the term ends, and stops the queue if the broker does not have that
// record.
func (t *term) askKept() {
	q := t.queue
	for operate.Pause(t.ending, keptPause) == nil {
		err := q.survive("asking what the history has of a queue", func() error { return t.compareKept(t.ending) })
		if err == nil || t.ending.Err() != nil {
			return
		}
		q.owner.warn(&q.owner.troubles.unasked, "it is not known yet whether the broker has what ClickHouse has of a queue", q, err)
	}
}

// compareKept is findsKept for a queue that was written meanwhile. The newest record of the history
// may be one of the new ones; like all that count, the broker has it at its offset.
func (t *term) compareKept(ctx context.Context) error {
	q := t.queue
	within, cancel := context.WithTimeout(ctx, keptPause)
	defer cancel()
	kept, err := q.owner.options.History.Most(within, q.name)
	if err != nil || kept.Offset <= t.unasked.Offset {
		return err
	}
	missing, err := q.misses(ctx, kept)
	if err != nil || !missing {
		return err
	}
	return q.turn(ctx, func(context.Context) error {
		if q.term.Load() == t {
			q.lack(kept)
			_ = q.tried(t, fmt.Errorf("%w: %w: %v at the mark %v", errKept, chain.ErrLost, q.name, kept))
		}
		return nil
	})
}

// misses says whether the broker lacks the record of a mark. It waits for a lagging broker, but not
// longer than lagTime.
func (q *queue) misses(ctx context.Context, mark chain.Mark) (bool, error) {
	stream := q.owner.options.Stream
	within, cancel := context.WithTimeout(ctx, lagTime)
	defer cancel()
	for {
		_, end, err := stream.Bounds(within, q.name)
		if err == nil && mark.Offset < end {
			err = chain.Back(within, stream, q.name, mark, func(*chain.Record) bool { return false })
			if err == nil || lost(err) {
				return err != nil, nil
			}
		}
		if err != nil && !errors.Is(err, chain.ErrLagging) {
			return false, err
		}
		if operate.Pause(within, tick) != nil {
			return true, ctx.Err()
		}
	}
}
