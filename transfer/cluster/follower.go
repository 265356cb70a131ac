package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
)

const (
	// lookPause is how long a record that is not visible waits for the next look at its
	// view, and lookPauseMost what that grows to. A view follows its queue within a
	// millisecond or two.
	lookPause     = 300 * time.Microsecond
	lookPauseMost = 50 * time.Millisecond

	// failPause is how long a broker or Redis that did not answer is left alone.
	failPause     = 20 * time.Millisecond
	failPauseMost = time.Second

	// lagPatience is for how long a broker may say that it has not come to an offset of
	// which it once said that it has.
	lagPatience = 10 * time.Second
)

// take is what a follower hands records to.
type take = func(ctx context.Context, record *hop.Record, done func())

// follower reads one queue, on one goroutine.
type follower struct {
	queue   *Queue
	name    chain.Queue
	take    take
	reader  *chain.Reader
	undone  *undone
	saved   chain.Mark // that Redis has, when it begins
	owed    []uint64   // likewise
	adopted owed       // hints that are not given yet

	kept []chain.Record // read and not handed over
	sure int            // how many of them are visible
	last chain.Mark     // of the last one that was handed over

	// view is the newest mark of the view that was seen, met says that its record was
	// read. What is pulled from here on up to it is durable and visible.
	view chain.Mark
	met  bool

	pause   time.Duration // before the next look
	records []hop.Record  // of handOver
}

// errOther says that the view has come to a record that does not count here. Either what
// was read has been replaced by others, which reading again shows, or view and queue do
// not belong together.
var errOther = errors.New("transfer: the view is at a record that does not count in what was read of its queue")

// run reads until ctx ends, or an error that is final.
func (f *follower) run(ctx context.Context) error {
	for {
		var err error
		switch {
		case f.sure > 0:
			err = f.handOver(ctx)
		case len(f.kept) == 0 || !f.met:
			err = f.read(ctx)
		default:
			err = f.look(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// read brings what one pull gives, and waits for it where all was read.
func (f *follower) read(ctx context.Context) error {
	var since time.Time
	for pause := failPause; ; pause = min(2*pause, failPauseMost) {
		f.queue.counts.pulls.Add(1)
		before := f.seen()
		err := f.reader.Read(ctx, func(r *chain.Record) error {
			if r.Kind == chain.Loss { // whether what was read before it counts for others is not certain
				clear(f.kept)
				f.kept, f.sure = f.kept[:0], 0
			}
			f.kept = append(f.kept, *r)
			return f.meet(r)
		})
		f.queue.counts.void(before, f.seen())
		if err == nil && !f.met && f.reader.Next() > f.view.Offset {
			err = f.other()
		}
		switch {
		case err == nil:
			f.pause = lookPause
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		case !errors.Is(err, chain.ErrLagging):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > lagPatience:
			return fmt.Errorf("%w: %w", chain.ErrLost, err)
		}
		if f.queue.counts.failedPull.Note() {
			f.queue.log.Warn("transfer: a queue cannot be read just now", "queue", f.name, "offset", f.reader.Next(), "error", err)
		}
		if err := rest(ctx, pause); err != nil {
			return err
		}
	}
}

// final says whether reading again does not help.
func final(err error) bool {
	for _, is := range []error{chain.ErrRetention, chain.ErrLost, chain.ErrTorn, chain.ErrLater, errOther} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// meet notes what a record that was just pulled says of those that are kept.
func (f *follower) meet(r *chain.Record) error {
	switch {
	case r.Mark.Offset < f.view.Offset:
		f.sure = len(f.kept)
	case r.Mark == f.view:
		f.sure, f.met = len(f.kept), true
	case !f.met:
		return f.other()
	}
	return nil
}

func (f *follower) other() error {
	f.queue.counts.torn.Count()
	return fmt.Errorf("%w: %v is at %v", errOther, f.name, f.view)
}

// look asks how far the view has come, after a pause where it has not moved.
func (f *follower) look(ctx context.Context) error {
	f.queue.counts.looks.Add(1)
	view, err := f.queue.state.viewed(ctx, f.name)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		if f.queue.counts.failedRedis.Note() {
			f.queue.log.Warn("transfer: it is not known how far a view has come", "queue", f.name, "error", err)
		}
		f.pause = max(f.pause, failPause)
	case view.Offset > f.last.Offset:
		return f.reached(ctx, view)
	}
	f.queue.counts.waits.Add(1)
	err = rest(ctx, f.pause)
	f.pause = min(2*f.pause, lookPauseMost)
	return err
}

// reached takes in that the view has come to a mark behind the last record that was
// handed over.
func (f *follower) reached(ctx context.Context, view chain.Mark) error {
	f.view, f.met = view, false
	for i := range f.kept {
		if f.kept[i].Mark == view {
			f.sure, f.met = i+1, true
			return nil
		}
	}
	if f.reader.Next() > view.Offset {
		return f.other()
	}
	return f.still(ctx) // it is further on
}

// still sees whether the records that were read and the one before them are there yet, before
// they are taken for visible because the view is further on: where the broker lost some, others
// may have come to lie behind their place, which do not count.
func (f *follower) still(ctx context.Context) error {
	there, want := true, f.reader.Last()
	err := chain.Back(ctx, f.queue.stream, f.name, want, func(r *chain.Record) bool {
		there = r.Mark == want
		if !there || want.Offset <= f.last.Offset {
			return false
		}
		want = r.Prev
		return true
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, chain.ErrLost), !there:
		return f.other()
	case err != nil && f.queue.counts.failedPull.Note():
		f.queue.log.Warn("transfer: a queue cannot be read just now", "queue", f.name, "offset", want.Offset, "error", err)
	}
	if err != nil { // the next look begins here again
		f.view, f.met = f.last, true
	}
	return nil
}

// handOver hands over what is visible.
func (f *follower) handOver(ctx context.Context) error {
	n := f.sure
	for len(f.records) < n {
		f.records = append(f.records, hop.Record{})
	}
	t := &together{records: f.records[:n]}
	for i := range n {
		_ = f.kept[i].Hop(&f.records[i]) // of one that holds no entries transfer sees it
	}
	within := t.within(ctx)
	for i := range n {
		record := &f.kept[i]
		f.last = record.Mark
		h := f.undone.add(record)
		if record.Kind == chain.Loss && record.Mark.Offset >= record.Through {
			f.passLoss(ctx, record, h)
			continue
		}
		if record.Kind != chain.Entries {
			f.queue.counts.empty.Add(1)
			h.finish()
			continue
		}
		f.queue.counts.records.Add(1)
		f.take(within, &f.records[i], h.finish)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	rest := copy(f.kept, f.kept[n:])
	clear(f.kept[rest:])
	f.kept, f.sure = f.kept[:rest], 0
	for i := range n {
		f.records[i].Blob = nil
	}
	return nil
}

// passLoss has everybody hinted to sync behind records that the broker lost and an operator
// gave up: what connected devices were to get of them nobody knows, and what is lost they hear
// of when they ask for it.
func (f *follower) passLoss(ctx context.Context, record *chain.Record, h *held) {
	if f.queue.counts.givenUp.Note() {
		f.queue.log.Warn("transfer: records of a queue were given up, everybody is hinted to sync", "queue", f.name, "through", record.Mark)
	}
	go func() {
		if f.queue.hints.everybody(ctx) == nil {
			h.finish()
		}
	}()
}

// seen gives how many records there were by what was said of them.
func (f *follower) seen() (n [reasons]uint64) {
	for r := range n {
		n[r] = f.reader.Seen(chain.Reason(r))
	}
	return n
}
