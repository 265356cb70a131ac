package owner

import (
	"context"
	"time"

	"gannet/internal/chain"
)

// StallTime is for how long a record is waited for that was acknowledged.
const StallTime = stallTime

// MendPause is between two looks at a queue that is stopped.
const MendPause = mendPause

// Hold has nothing written to any queue until release is called.
func (o *Owner) Hold() (release func()) {
	done := make(chan struct{})
	for _, q := range o.queues {
		entered := make(chan struct{})
		go func() {
			_ = q.turn(context.Background(), func(context.Context) error {
				close(entered)
				<-done
				return nil
			})
		}()
		<-entered
	}
	return func() { close(done) }
}

// RetentionPause is between two looks at a broker that was said to keep records for so long.
func RetentionPause(stated time.Duration) time.Duration { pause, _ := pauses(stated); return pause }

// LookAtRetention looks at the oldest record of a queue.
func (o *Owner) LookAtRetention(queue int) error { return o.queues[queue].lookAtRetention() }

// LookAtReader looks how far the reader of a queue has come.
func (o *Owner) LookAtReader(queue int) error { return o.queues[queue].lookAtReader() }

// FlushAcks writes all acks that wait.
func (o *Owner) FlushAcks(ctx context.Context) error { return o.each(ctx, (*queue).flush) }

// StoodStill makes the node one that stood still for a while.
func (o *Owner) StoodStill() {
	for _, q := range o.queues {
		if t := q.term.Load(); t != nil {
			t.seen.Store(t.seen.Load() - int64(2*freshness))
		}
	}
}

// ViewMark gives the mark of a queue's view, as its owner knows it.
func (o *Owner) ViewMark(queue int) chain.Mark { return o.queues[queue].term.Load().view.Mark() }

// Look asks Redis how the view of a queue is, and whether its last record grows old.
func (o *Owner) Look(ctx context.Context, queue int) error {
	q := o.queues[queue]
	return q.turn(ctx, func(ctx context.Context) error { return q.check(ctx, true) })
}

// Unable says whether it is noted that nothing can be written into a queue.
func (o *Owner) Unable(queue int) bool { return o.queues[queue].unable.Load() != nil }
