package owner

import (
	"context"
	"errors"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

// proofTime is how long one look at a stopped queue may read, because callers of the queue wait
// meanwhile. The next look reads on from there.
const proofTime = time.Second

// lost says of an error that the broker does not have what it acknowledged.
func lost(err error) bool { return errors.Is(err, chain.ErrLost) || errors.Is(err, chain.ErrTorn) }

// lack notes that the broker is to have the record of a mark before the queue goes on.
func (q *queue) lack(mark chain.Mark) {
	if mark.Offset > q.lacks.Offset {
		q.lacks = mark
	}
	q.past = max(q.past, mark.Offset)
}

// leaves notes how far a term had come that ends because of a loss: its records may have been
// acked. If another record is already known to be lost, that one stays noted, because the term was
// built on it.
func (q *queue) leaves(t *term) {
	if q.lacks == chain.Beginning {
		q.lack(t.view.Mark())
	}
	q.past = max(q.past, t.view.Mark().Offset)
}

// mended says whether a stopped queue may be taken over again. If retention has removed records,
// the take-over notices that itself before it appends anything. But if the broker lost records, a
// take-over would append behind the gap. So these records must first be there again, for example
// because the disk was restored, or be given up.
func (q *queue) mended(ctx context.Context) bool {
	gone := lost(q.stopped)
	if !gone && !errors.Is(q.stopped, chain.ErrRetention) && !errors.Is(q.stopped, errBehindLoss) || operate.Elapsed() < time.Duration(q.again.Load()) {
		return false
	}
	if gone && !q.proved(ctx) {
		q.again.Store(int64(operate.Elapsed() + mendPause))
		return false
	}
	q.again.Store(0)
	return true
}

// proof is a queue that is read from a mark on as a take-over does, without appending anything.
type proof struct {
	from   chain.Mark
	reader *chain.Reader
}

// proved says whether the broker has the record that a take-over begins with, all records behind
// it, and the record that it is known to have lost. A Loss may stand in for any of them.
func (q *queue) proved(ctx context.Context) bool {
	o := &q.owner.options
	ctx, cancel := context.WithTimeout(ctx, proofTime)
	defer cancel()
	w, err := o.View.Writer(q.name)
	if err != nil {
		return false
	}
	state, err := w.State(ctx)
	if err != nil {
		return false
	}
	start, _, err := q.start(ctx, state)
	if err != nil {
		return errors.Is(err, chain.ErrRetention)
	}
	_, end, err := o.Stream.Bounds(ctx, q.name)
	if err != nil {
		return false
	}
	for _, mark := range []chain.Mark{start, q.lacking(start)} {
		// Do not wait for a record at the end of the queue or behind it: the next look asks again.
		if mark.Offset >= end || chain.Back(ctx, o.Stream, q.name, mark, func(*chain.Record) bool { return false }) != nil {
			q.proof = nil
			return false
		}
	}
	if q.proof == nil || q.proof.from != start {
		q.proof = &proof{from: start, reader: chain.NewReader(o.Stream, q.name, start)}
	}
	err = q.proof.reader.ReadTo(ctx, end, func(*chain.Record) error { return nil })
	if err == nil || ctx.Err() == nil { // else the time is over, and the next look reads on
		q.proof = nil
	}
	return err == nil || errors.Is(err, chain.ErrRetention)
}

// lacking gives the mark of the record that the broker must have before a take-over that begins
// with start, or Beginning for none. If start is past all that this node knew, the loss was given
// up, or another node went on and it is for that node to notice losses.
func (q *queue) lacking(start chain.Mark) chain.Mark {
	if start.Offset > q.past {
		return chain.Beginning
	}
	return q.lacks
}
