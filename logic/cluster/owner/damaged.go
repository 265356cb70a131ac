package owner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// hopePause is after how long the owner tries again to bring back conversations of which something
// was missing.
const hopePause = time.Minute

var (
	// errDamage says of a conversation that what Redis has of it cannot be read.
	errDamage = errors.New("owner: a conversation is damaged in Redis")

	// errSkipped says that a replay left out records of a conversation because it is damaged.
	errSkipped = fmt.Errorf("%w, and records were replayed without it", errDamage)
)

// damaged holds the conversations of a term that Redis has, but that cannot be read. From the
// moment when one is noticed until it is brought back from the history and the queue, as in an
// incomplete view, nothing reads or writes it. So what is brought back is complete, and all other
// conversations go on.
type damaged struct {
	term  *term
	wakes chan struct{}

	mu    sync.Mutex // guards what follows
	talks map[protocol.Conversation]hope
}

// hope says whether a damaged conversation can be brought back.
type hope struct {
	why  error // what the last try found missing; nil: nothing so far
	last bool  // it will not come back
}

func newDamaged(t *term) *damaged {
	return &damaged{term: t, wakes: make(chan struct{}, 1), talks: make(map[protocol.Conversation]hope)}
}

// add notes conversations that cannot be read.
func (d *damaged) add(keys []protocol.Conversation, err error) {
	o := d.term.queue.owner
	for _, k := range keys {
		d.mu.Lock()
		_, known := d.talks[k]
		if !known && errors.Is(err, view.ErrForsaken) {
			d.talks[k] = hope{why: err, last: true}
		} else if !known {
			d.talks[k] = hope{}
		}
		d.mu.Unlock()
		if !known && o.troubles.talks.Note() {
			o.options.Log.Error("owner: a conversation in Redis is damaged, and unavailable until it is brought back", "conversation", k, "queue", d.term.queue.name.String(), "err", err.Error())
		}
	}
	if len(keys) > 0 {
		d.term.signal(d.wakes)
	}
}

// skipped notes conversations of which a replay left records out.
func (d *damaged) skipped(keys map[protocol.Conversation]bool) {
	d.add(slices.Collect(maps.Keys(keys)), errSkipped)
}

func (d *damaged) number() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(len(d.talks))
}

// load reads conversations as the view has them, but for damaged ones.
func (d *damaged) load(ctx context.Context, list []*ledger.Loaded) error {
	if err := d.term.view.Load(ctx, list); err != nil {
		return err
	}
	d.bar(list)
	return nil
}

// bar gives an Err to conversations that are noted as damaged, and notes those that turn out to be
// damaged.
func (d *damaged) bar(list []*ledger.Loaded) {
	var found []*ledger.Loaded
	d.mu.Lock()
	for _, l := range list {
		if _, noted := d.talks[l.Key]; noted && l.Err == nil {
			l.Err = unavailable(errDamage) // Redis gives it back again, but skipped records may be missing
		} else if !noted && view.Damaged(l.Err) {
			found = append(found, l)
		}
	}
	d.mu.Unlock()
	for _, l := range found {
		d.add([]protocol.Conversation{l.Key}, l.Err)
	}
}

// without decides whether the feed of the history may go on without a loaded conversation. nil says
// that the conversation could be read, or is forsaken. While a damaged one may still come back,
// there is an error, and the feed waits. Once something of it is known to be missing, Redis is
// first told to keep that it is forsaken: from then on the history lacks something of it for good,
// so nobody may make it anew from what the history has.
func (d *damaged) without(ctx context.Context, l *ledger.Loaded) error {
	wait := fmt.Errorf("%v: %w", l.Key, l.Err)
	switch h, noted := d.hope(l.Key); {
	case l.Err == nil, noted && h.last:
		return nil
	case !noted || h.why == nil:
		return wait
	}
	return d.term.queue.turn(ctx, func(ctx context.Context) error {
		h, noted := d.hope(l.Key)
		if !noted || d.term.queue.term.Load() != d.term {
			return wait
		}
		if err := d.term.view.Forsake(ctx, []protocol.Conversation{l.Key}); err != nil {
			return err
		}
		h.last = true
		d.mu.Lock()
		defer d.mu.Unlock()
		d.talks[l.Key] = h
		return nil
	})
}

func (d *damaged) hope(key protocol.Conversation) (h hope, noted bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, noted = d.talks[key]
	return h, noted
}

// back notes that conversations were written anew.
func (d *damaged) back(list []view.Whole) {
	o := d.term.queue.owner
	d.mu.Lock()
	for _, w := range list {
		delete(d.talks, w.Key)
	}
	d.mu.Unlock()
	o.troubles.mended.Add(uint64(len(list)))
	if len(list) > 0 {
		o.options.Log.Info("owner: damaged conversations are back", "queue", d.term.queue.name.String(), "conversations", len(list), "one", list[0].Key)
	}
}

// open gives the conversations that may still come back. fresh says that at least one of them has
// not failed a try yet.
func (d *damaged) open() (keys map[protocol.Conversation]bool, fresh bool) {
	keys = make(map[protocol.Conversation]bool)
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, h := range d.talks {
		if !h.last {
			keys[k] = true
			fresh = fresh || h.why == nil
		}
	}
	return keys, fresh
}

// run brings conversations back until the term ends.
func (d *damaged) run() {
	t := d.term
	o := t.queue.owner
	tried, pause := operate.Elapsed(), firstPause
	for t.ending.Err() == nil {
		if keys, fresh := d.open(); len(keys) > 0 && (fresh || operate.Elapsed()-tried >= hopePause) {
			tried = operate.Elapsed()
			err := t.queue.survive("bringing conversations back", func() error { return d.try(t.ending, keys) })
			if err == nil {
				pause = firstPause
				continue
			}
			if t.ending.Err() == nil {
				o.warn(&o.troubles.redis, "damaged conversations are not brought back yet", t.queue, err)
			}
			_ = operate.Pause(t.ending, pause)
			pause = min(2*pause, lastPause)
			continue
		}
		wait, cancel := context.WithTimeout(t.ending, hopePause)
		select {
		case <-d.wakes:
		case <-wait.Done():
		}
		cancel()
	}
}

// try brings conversations back, or finds out what is missing of them.
func (d *damaged) try(ctx context.Context, keys map[protocol.Conversation]bool) error {
	t := d.term
	r := newRebuild(t, chain.Beginning, keys)
	r.alone, r.lacking = true, make(map[protocol.Conversation]error)
	err := r.turn(ctx, func(ctx context.Context) error {
		// Acks that only memory knows must be in records before the ledger drops the conversations.
		if err := t.queue.allAcks(ctx); err != nil {
			return err
		}
		if !r.goesOn() {
			return errOther
		}
		t.ledger.Drop(slices.Collect(maps.Keys(keys)))
		r.at = t.view.Mark()
		return nil
	})
	if err == nil {
		err = r.try(ctx)
	}
	if err != nil && (!errors.Is(err, chain.ErrRetention) || errors.Is(err, ErrStopped)) {
		return err
	}
	d.giveUp(r, err)
	return nil
}

// giveUp notes, for each conversation that did not come back, what is missing. gone, if it is not
// nil, is the reason for all: the queue does not have the records any more.
func (d *damaged) giveUp(r *rebuild, gone error) {
	o := d.term.queue.owner
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range r.skipped {
		h, noted := d.talks[k]
		if !noted || h.last {
			continue
		}
		if h.why = cmp.Or(gone, r.lacking[k]); h.why == nil {
			h.why = fmt.Errorf("%w: %v", errShort, k)
		}
		d.talks[k] = h
		if o.troubles.short.Note() {
			o.options.Log.Error("owner: a conversation stays damaged and unavailable", "conversation", k, "queue", d.term.queue.name.String(), "err", h.why.Error())
		}
	}
}
