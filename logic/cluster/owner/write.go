package owner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// busyRetry is after how long a client that was told busy asks again.
const busyRetry = 200 * time.Millisecond

// write makes the next records of a queue of all batches that waited.
func (q *queue) write(ctx context.Context, batches []*logic.Batch) {
	done := false
	defer func() {
		if !done { // a bug: nobody knows what was carried out
			for _, b := range batches {
				failBatch(b, unavailable(errors.New("a batch could not be carried out")))
			}
		}
	}()
	_ = q.survive("carrying batches out", func() error {
		q.writeAll(ctx, batches)
		done = true
		return nil
	})
}

func (q *queue) writeAll(ctx context.Context, batches []*logic.Batch) {
	if q.late.Load() {
		if _, err := q.ready(ctx); err == nil { // else that is the answer
			rest, answer := withoutMessages(batches)
			defer answer()
			batches = rest
		}
	}
	parts := split(batches, q.owner.options.Record)
	var err error
	for i := range parts {
		p := &parts[i]
		var t *term
		tried := false
		if err == nil {
			if t, err = q.ready(ctx); err == nil {
				tried = true
				if err = t.record(ctx, p.batches, false); err != nil {
					tried = !errors.Is(err, errNotTried)
					err = q.tried(t, err)
				}
			}
		}
		if err != nil {
			p.fail(err, tried)
		}
	}
	if err != nil || !q.leaving() {
		return
	}
	if err := q.allAcks(ctx); err != nil {
		unacked(batches)
	}
}

// unacked sets the outcome of applied acks in batches back to Unknown, because they could not be
// written. Messages and read cursors were written.
func unacked(batches []*logic.Batch) {
	for _, b := range batches {
		for i := range b.Entries {
			if e := &b.Entries[i]; e.Op == hop.OpAck && e.Outcome == logic.Applied {
				e.Outcome = logic.Unknown
			}
		}
	}
}

// errNotTried says that nothing was done for the batches of a record.
var errNotTried = errors.New("nothing was tried")

// record makes one record of the batches and of acks that are due. It works them out, appends the
// record to the queue, takes it into the view and shows it to readers. After an error the outcome
// of the batches is not known, but with errNotTried nothing was done.
func (t *term) record(ctx context.Context, batches []*logic.Batch, acks bool) error {
	o := t.queue.owner
	in := ledger.Input{Batches: batches, Stamp: t.view.Stamp() + 1, Now: o.now(), Acks: acks, Room: acksFor(batches, o.options.Record)}
	change, err := t.workOut(ctx, in)
	if err != nil {
		// Redis is away, or somebody else brought the view forward.
		return fmt.Errorf("%w: %w", errNotTried, cmp.Or(t.check(ctx), waits(err)))
	}
	if change.Empty() {
		t.ledger.Settle()
		return nil
	}
	t.ledger.Record(batches, &t.made)
	t.pending = &pending{change: change, body: encode(&t.made), prev: t.chain.Last()}
	return t.finish(ctx)
}

// encode gives the entries of a record as they travel.
func encode(r *hop.Record) []byte {
	size := entrySize
	for i := range r.Entries {
		size += entrySize + r.Entries[i].Frame.Len()
	}
	return r.AppendEntries(make([]byte, 0, size))
}

// workOut has the ledger work a batch out. After a panic there, which is a bug, nothing was
// written, and the batch is abandoned.
func (t *term) workOut(ctx context.Context, in ledger.Input) (change *ledger.Change, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			t.ledger.Abandon()
			t.queue.survived("working a batch out", cause)
			err = errors.New("a batch could not be worked out")
		}
	}()
	return t.ledger.Apply(ctx, in)
}

// refuse answers entries of which nothing was tried.
func refuse(entries []logic.Entry) {
	for i := range entries {
		e := &entries[i]
		e.Outcome, e.Code, e.RetryAfter = logic.Refused, protocol.CodeBusy, busyRetry
	}
}

// survive calls do. If do panics, survive logs that and returns an error, so that the process goes
// on.
func (q *queue) survive(what string, do func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			q.survived(what, cause)
			err = unavailable(errors.New("a bug"))
		}
	}()
	return do()
}

func (q *queue) survived(what string, cause any) {
	if q.owner.troubles.panics.Note() {
		q.owner.options.Log.Error("owner: a panic was survived: this is a bug of gannet", "while", what, "queue", q.name.String(),
			"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	}
}

// fresh says whether the queue was seen to be ours within freshness. After the node stood still it
// was not.
func (t *term) fresh() bool { return operate.Elapsed()-time.Duration(t.seen.Load()) < freshness }

// freshness is for how long a queue that was seen to be ours is taken for ours.
const freshness = 5 * time.Second
