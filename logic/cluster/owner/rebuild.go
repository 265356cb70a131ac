package owner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

const (
	// shortQueue is how many records a queue may have for an empty view to be made from the queue
	// alone, without the history. They are in memory together, without bodies: up to 120 KB each.
	shortQueue = 200

	// fillPart is how many conversations are brought back in one turn of the queue. Between
	// two of them whoever waits for the queue has a turn.
	fillPart = 256
)

var (
	// errReplay says that there is no history: an empty view is made from the queue, record by
	// record.
	errReplay = errors.New("owner: the queue has everything")

	// errShort says that something is missing that nobody has any more.
	errShort = errors.New("owner: a view cannot be made whole: history and queue do not have everything")
)

// rebuild brings back the conversations that an incomplete view lacks, from the history and from
// the records that the history lacks. New records are written meanwhile.
type rebuild struct {
	term    *term
	at      chain.Mark                     // the view takes in the records behind it by itself
	skipped map[protocol.Conversation]bool // the conversations to bring back, if alone; else nil
	held    map[protocol.Conversation]*held

	// alone says that the view is complete, and only the conversations in skipped are brought back.
	// lacking says of which of them something is missing, and why.
	alone   bool
	lacking map[protocol.Conversation]error
	losses  bool // the queue alone does not have everything: records were given up
}

// held is what records that the history may lack did to a conversation.
type held struct {
	record hop.Record // its messages have lost their bodies
	last   []byte     // the newest message, whole
	seq    uint64     // of it
	first  uint64     // of the first message
}

func newRebuild(t *term, at chain.Mark, skipped map[protocol.Conversation]bool) *rebuild {
	return &rebuild{term: t, at: at, skipped: skipped}
}

// bringAll begins to bring an empty view back while records go on, or gives errReplay.
func (t *term) bringAll(ctx context.Context) error {
	if t.queue.owner.options.History == nil {
		return errReplay
	}
	if err := t.view.Adopt(ctx, chain.Beginning, true); err != nil {
		return waits(err)
	}
	t.startRebuild(t.view.Mark())
	return waits(t.view.Confirm(ctx))
}

// startRebuild begins a rebuilding in place of the one under way.
func (t *term) startRebuild(at chain.Mark) {
	t.rebuild = newRebuild(t, at, nil)
	t.queue.owner.helped.Go(t.rebuild.run)
}

// run rebuilds until it is done, another rebuilding has begun, or the term ends.
func (r *rebuild) run() {
	t := r.term
	o := t.queue.owner
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		o.troubles.rebuilds.Count()
		err := t.queue.survive("bringing a view back", func() error { return r.try(t.ending) })
		switch {
		case err == nil:
			o.options.Log.Info("owner: a view is back", "queue", t.queue.name.String())
			return
		case errors.Is(err, errOther), t.ending.Err() != nil:
			return
		case errors.Is(err, errShort), errors.Is(err, chain.ErrRetention):
			if o.troubles.short.Note() {
				o.options.Log.Error("owner: a view stays incomplete", "queue", t.queue.name.String(), "err", err.Error())
			}
		default:
			o.warn(&o.troubles.redis, "a view is not brought back yet", t.queue, err)
		}
		if operate.Pause(t.ending, pause) != nil {
			return
		}
	}
}

// errOther says that another rebuilding has begun.
var errOther = errors.New("owner: another rebuilding has begun")

// turn calls do in the turn of the queue. It returns errOther if another rebuilding has begun or
// the term has ended.
func (r *rebuild) turn(ctx context.Context, do func(ctx context.Context) error) error {
	return r.term.queue.turn(ctx, func(ctx context.Context) error {
		if !r.goesOn() {
			return errOther
		}
		if _, err := r.term.queue.ready(ctx); err != nil {
			return err
		}
		if !r.goesOn() {
			return errOther
		}
		return do(ctx)
	})
}

func (r *rebuild) goesOn() bool {
	t := r.term
	return t.queue.term.Load() == t && (t.rebuild == r || r.alone && t.rebuild == nil)
}

// lacks notes that something of a conversation is missing. If the whole view must wait for it,
// lacks returns an error. A conversation that is brought back alone waits for itself only, and
// lacks returns nil.
func (r *rebuild) lacks(k protocol.Conversation, what string) error {
	err := fmt.Errorf("%w: %s%v", errShort, what, k)
	if !r.alone {
		return err
	}
	r.lacking[k] = err
	return nil
}

func (r *rebuild) try(ctx context.Context) error {
	q, o := r.term.queue, &r.term.queue.owner.options
	first, _, err := o.Stream.Bounds(ctx, q.name)
	if err != nil {
		return err
	}
	history := o.History != nil && (first > 0 || r.at.Offset >= shortQueue || r.losses)
	from := chain.Beginning
	if history {
		if from, err = o.History.Mark(ctx, q.name); err != nil {
			return err
		}
	}
	known := r.losses
	r.losses = false
	err = r.gather(ctx, from)
	passed := r.losses // a Loss lies behind the history's mark
	r.losses = known || passed
	if err != nil {
		return err
	}
	if r.alone && passed && (history || o.History == nil) { // its head may be in a record that was given up
		for k := range r.skipped {
			r.lacking[k] = fmt.Errorf("%w: %v, of which records may have been given up", errShort, k)
		}
		return nil
	}
	if r.losses && !history {
		if o.History == nil {
			return fmt.Errorf("%w: records were given up", errShort)
		}
		return r.try(ctx) // with the history
	}
	if history {
		var only []protocol.Conversation
		if r.alone {
			only = slices.Collect(maps.Keys(r.skipped))
		}
		if _, err := o.History.Rebuild(ctx, q.name, only, r.take(ctx, from)); err != nil {
			return err
		}
	}
	// A conversation that the history does not know must have begun in the records that it lacks.
	var rest []view.Whole
	for k, h := range r.held {
		if h.first > 1 || h.first == 0 {
			if err := r.lacks(k, ""); err != nil {
				return err
			}
			continue
		}
		if rest = append(rest, view.Whole{Loaded: &ledger.Loaded{Key: k}}); len(rest) == fillPart {
			if err := r.bring(ctx, rest); err != nil {
				return err
			}
			rest = nil
		}
	}
	if err := r.bring(ctx, rest); err != nil || r.alone {
		return err
	}
	return r.turn(ctx, func(ctx context.Context) error {
		if err := r.term.view.Complete(ctx); err != nil {
			return err
		}
		r.term.rebuild = nil
		return nil
	})
}

// errOlder says that the history lost something while it was read.
var errOlder = errors.New("owner: the history came back older, and its conversations are older than the records that were read for them")

// take gives the function that brings back the conversations that History.Rebuild gives. The records
// behind from are gathered. If the history came back older meanwhile, what lies between is in neither.
func (r *rebuild) take(ctx context.Context, from chain.Mark) func(list []view.Whole, done, parts int) error {
	q := r.term.queue
	return func(list []view.Whole, done, parts int) error {
		if mark, err := q.owner.options.History.Mark(ctx, q.name); err != nil || mark.Offset < from.Offset {
			return cmp.Or(err, errOlder)
		}
		for part := range slices.Chunk(list, fillPart) {
			if err := r.bring(ctx, part); err != nil {
				return err
			}
		}
		if q.owner.filling.Now() {
			q.owner.options.Log.Info("owner: a view comes back", "queue", q.name.String(), "parts", done, "of", parts, "conversations", q.owner.troubles.rebuilt.Load())
		}
		return nil
	}
}

// gather takes in what the records behind the mark did, up to the one of the view.
func (r *rebuild) gather(ctx context.Context, from chain.Mark) error {
	r.held = make(map[protocol.Conversation]*held)
	if from.Offset >= r.at.Offset {
		return nil
	}
	o := r.term.queue.owner
	reader := chain.NewReader(o.options.Stream, r.term.queue.name, from)
	err := reader.ReadTo(ctx, r.at.Offset+1, func(c *chain.Record) error {
		var record hop.Record
		if c.Kind == chain.Loss {
			r.losses = true
			return nil
		}
		if c.Hop(&record) != nil {
			o.troubles.damaged.Count()
			return nil
		}
		for i := range record.Entries {
			if !r.alone || r.skipped[record.Entries[i].Conversation] {
				r.hold(&record, i)
			}
		}
		return nil
	})
	if err == nil && reader.Last() != r.at {
		err = fmt.Errorf("%w: from %v the records lead to %v and not to %v", chain.ErrLost, from, reader.Last(), r.at)
	}
	return err
}

// hold keeps an entry for its conversation.
func (r *rebuild) hold(record *hop.Record, i int) {
	e, frame := record.Entries[i], record.Bytes(i)
	h := r.held[e.Conversation]
	if h == nil {
		h = &held{}
		r.held[e.Conversation] = h
	}
	start := len(h.record.Blob)
	var m protocol.Message
	if e.Op == hop.OpMessage && len(frame) >= protocol.HeaderSize && m.Decode(frame[protocol.HeaderSize:]) == nil {
		h.last, h.seq = append(h.last[:0:0], frame[protocol.HeaderSize:]...), m.Seq
		if h.first == 0 {
			h.first = m.Seq
		}
		m.Body = nil
		h.record.Blob = m.AppendFrame(h.record.Blob)
	}
	e.Frame = hop.Span{Start: uint32(start), End: uint32(len(h.record.Blob))}
	h.record.Entries = append(h.record.Entries, e)
}

// bring writes conversations into the view, after it has replayed the records that the history
// lacks.
func (r *rebuild) bring(ctx context.Context, list []view.Whole) error {
	var fill, replace []view.Whole
	var change ledger.Change
	for _, w := range list {
		if q := r.term.queue; w.Key.Partition()%len(q.owner.queues) != q.name.Number {
			q.owner.troubles.foreign.Count() // of another queue: it would be in two views
			continue
		}
		if r.alone && !r.skipped[w.Key] {
			continue
		}
		h := r.held[w.Key]
		delete(r.held, w.Key)
		if w.Err != nil { // somebody wrote to it, so it must not be left out
			if err := r.lacks(w.Key, "what the history has of "); err != nil {
				return err
			}
			continue
		}
		if h != nil {
			err := (ledger.States{w.Key: w.Loaded}).Replay(&h.record, r.term.view.Stamp(), &change)
			if err != nil && r.alone {
				r.lacking[w.Key] = err
				continue
			}
			if err != nil {
				return err
			}
			if h.seq == w.Head {
				w.Last = h.last
			}
		}
		switch {
		case w.Head == 0: // nobody wrote there; cursors make no conversation
		case len(w.Last) == 0:
			if err := r.lacks(w.Key, "the newest message of "); err != nil {
				return err
			}
		case r.skipped[w.Key]:
			replace = append(replace, w)
		default:
			fill = append(fill, w)
		}
	}
	if len(fill)+len(replace) == 0 {
		return nil
	}
	err := r.turn(ctx, func(ctx context.Context) error {
		if err := r.term.view.Fill(ctx, fill); err != nil {
			return err
		}
		// A conversation that is not back takes no records in. So what is restored is as of the
		// view's mark.
		if err := r.term.view.Restore(ctx, r.term.view.Mark(), replace); err != nil {
			return err
		}
		if r.alone {
			r.term.damaged.back(replace)
		}
		return nil
	})
	if err == nil {
		r.term.queue.owner.troubles.rebuilt.Add(uint64(len(fill) + len(replace)))
	}
	return err
}
