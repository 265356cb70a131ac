package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/operate"
)

const (
	// lookPause is how long the follower waits before it looks at the view again, if the view has
	// not reached the next record yet. A view follows its queue within a millisecond or two, under
	// load within some ten. Each pause is half as long again as the one before, so that at most a
	// third of the waiting is in vain; it grows up to lookPauseMost.
	lookPause     = 300 * time.Microsecond
	lookPauseMost = 50 * time.Millisecond

	// failPause is how long a broker or Redis is left alone after it did not answer; it grows up to
	// failPauseMost.
	failPause     = 20 * time.Millisecond
	failPauseMost = time.Second

	// lagPatience is how long a broker may lag behind an offset that it has shown before.
	lagPatience = 10 * time.Second
)

// take takes the records that a follower hands over.
type take = func(ctx context.Context, record *hop.Record, done func())

// follower reads one queue, on one goroutine.
type follower struct {
	queue   *Queue
	name    chain.Queue
	take    take
	reader  *chain.Reader
	undone  *undone
	saved   chain.Mark // the mark that Redis has when the follower begins
	owed    []uint64   // the gateways that are owed a hint by then
	adopted owed       // hints of owed that were not given yet

	kept []chain.Record // records that were read and not handed over
	sure int            // how many of kept are visible
	last chain.Mark     // the last record that was handed over

	// view is the newest mark of the view that was seen; met says that its record was read. Bytes
	// up to view that are pulled from now on are durable and visible.
	view chain.Mark
	met  bool

	pause   time.Duration // before the next look
	records []hop.Record  // scratch of handOver

	handed atomic.Int64 // every counting record before this offset was handed over
}

// errOther says that the view is at a record that does not count here. Either the broker has other
// records now than those that were read, and the follower finds that out by reading again, or the
// view does not belong to this queue.
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

// read reads the records of one pull. At the end of the queue it waits for a record.
func (f *follower) read(ctx context.Context) error {
	var since time.Time
	for pause := failPause; ; pause = min(2*pause, failPauseMost) {
		before := f.seen()
		err := f.reader.Read(ctx, func(r *chain.Record) error {
			if r.Kind == chain.Loss { // records read before it may be lost, and may not count for others
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
			f.allHanded()
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
		if err := operate.Pause(ctx, pause); err != nil {
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

// meet takes in how far the view has come, after a record was pulled into kept.
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

// look asks how far the view has come. If the view has not moved, it pauses.
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
		return f.reached(view)
	}
	f.queue.counts.waits.Add(1)
	return f.wait(ctx)
}

// wait pauses before the next look, each time for longer until something is read.
func (f *follower) wait(ctx context.Context) error {
	err := operate.Pause(ctx, f.pause)
	f.pause = min(f.pause*3/2, lookPauseMost)
	return err
}

// reached is called when the view has come to a mark behind the last record that was handed over.
func (f *follower) reached(view chain.Mark) error {
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
	// It is further on. What was read may not be there any more, if the broker lost it, and what
	// follows may be built on it. So it is read again, from the last record that was handed over,
	// together with what is new.
	clear(f.kept)
	f.kept = f.kept[:0]
	f.reader.Again(f.last)
	return nil
}

// handOver hands over the visible records.
func (f *follower) handOver(ctx context.Context) error {
	n := f.sure
	for len(f.records) < n {
		f.records = append(f.records, hop.Record{})
	}
	t := &together{records: f.records[:n]}
	for i := range n {
		_ = f.kept[i].Hop(&f.records[i]) // on an error transfer sees that there are no entries
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
	f.allHanded()
	return nil
}

// allHanded notes how far records were handed over, if no record is kept back.
func (f *follower) allHanded() {
	if len(f.kept) == 0 {
		f.handed.Store(max(f.handed.Load(), f.reader.Next()))
	}
}

// passLoss hints everybody to sync after a loss that was given up. Nobody knows which lost records
// connected devices had not received. A device hears what is lost when it asks for it.
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

// seen gives how many records were read, by the reason why they do not count.
func (f *follower) seen() (n [reasons]uint64) {
	for r := range n {
		n[r] = f.reader.Seen(chain.Reason(r))
	}
	return n
}
