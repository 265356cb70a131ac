package history

import (
	"context"
	"errors"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// Tail is what the owner of a conversation has in memory of it. Its methods are safe for
// concurrent use.
type Tail interface {
	// Recent gives the head of a conversation and the newest of its messages. An error
	// means that nobody here knows.
	Recent(ctx context.Context, c protocol.Conversation, from, to uint64) (Recent, error)
}

// Recent is the newest messages of a conversation: all from First to Head are in memory,
// and durable.
type Recent struct {
	Head   uint64 // the highest durable seq, 0: nobody wrote
	First  uint64 // Head + 1: none is in memory
	Before uint64 // the seq of the message before First, 0: there is none

	// Messages has those of them with seqs that were asked for, in rising order. They
	// never change.
	Messages []Kept
}

// Kept is a message in memory.
type Kept struct {
	Seq      uint64
	Previous uint64 // seq of the message that its device had sent before, 0: none
	N, Own   uint64
	Payload  []byte // an encoded protocol.Message
}

// Reader reads messages back: it is logic's History, and what a ledger and a SYNC look up.
type Reader struct {
	store *Store
	tail  Tail
	pages line[[]*ask]
	walks line[[]*walk]
	asks  line[[]*Counts]
}

var (
	_ logic.History = (*Reader)(nil)
	_ ledger.Source = (*Reader)(nil)
)

// NewReader makes a Reader.
func NewReader(store *Store, tail Tail) *Reader { return &Reader{store: store, tail: tail} }

// errMissing says that what was asked for is not known to be complete.
var errMissing = errors.New("history: messages are not there yet, or were lost; they are not holes")

// Pages implements logic.History. Pages of all callers that wait are read by one query.
func (r *Reader) Pages(ctx context.Context, pages []*logic.Page) error {
	asks := make([]*ask, 0, len(pages))
	for _, p := range pages {
		from, to := max(p.From, 1), p.To
		if p.Backward {
			from, to = 1, p.From
		}
		if to == 0 {
			to = ^uint64(0)
		}
		recent, err := r.tail.Recent(ctx, p.Conversation, from, to)
		if err != nil {
			p.Err = unavailable(err)
			continue
		}
		a := &ask{page: p, recent: recent}
		a.begin()
		if a.done() {
			r.finish(a)
			continue
		}
		asks = append(asks, a)
	}
	if len(asks) == 0 {
		return nil
	}
	err := r.pages.do(ctx, asks, func(waiting [][]*ask) {
		var all []*ask
		for _, list := range waiting {
			all = append(all, list...)
		}
		r.answer(context.WithoutCancel(ctx), all)
	})
	if err != nil { // nobody asked for these pages
		for _, a := range asks {
			a.page.Err = unavailable(err)
		}
	}
	return nil
}

// answer reads what pages need from ClickHouse and finishes them.
func (r *Reader) answer(ctx context.Context, asks []*ask) {
	windows := make([]window, len(asks))
	for i, a := range asks {
		windows[i] = a.window()
	}
	rows, err := r.store.windows(ctx, windows)
	var large []*row
	for i, a := range asks {
		a.page.Err = err
		if err != nil {
			continue
		}
		a.rows(rows.within(windows[i]))
		if a.stands() {
			a.page.Err = r.look(ctx, a)
		}
		for _, x := range a.kept {
			if x.row != nil && !x.row.short {
				large = append(large, x.row)
			}
		}
	}
	if len(large) > 0 {
		err = r.store.bodies(ctx, large)
	}
	for _, a := range asks {
		for _, x := range a.kept {
			if a.page.Err == nil && x.row != nil && !x.row.short {
				a.page.Err = err
				if err == nil {
					r.store.refused("messages", "a body that is not there", key{a.page.Conversation, x.seq})
					a.page.Err = unavailable(errMissing)
				}
			}
		}
		if a.page.Err == nil {
			r.finish(a)
		}
	}
}

func (r *Reader) finish(a *ask) {
	if a.finish() {
		return
	}
	a.page.Err = r.missing(a.page.Conversation, a.first, a.last)
}

// missing counts and says that a range cannot be given.
func (r *Reader) missing(c protocol.Conversation, first, last uint64) error {
	if r.store.faults.missing.Note() {
		r.store.log.Warn("history: messages are not known to be complete", "conversation", c, "from", first, "to", last)
	}
	return unavailable(errMissing)
}

// look finds out why a page got nowhere: because retention removed what it asks for, or a
// hole lies there, which the next row up proves. Else it is left as it is.
func (r *Reader) look(ctx context.Context, a *ask) error {
	c, from := a.page.Conversation, a.first
	if a.page.Backward {
		from = a.next + 1
	}
	e, err := r.store.edge(ctx, c, from)
	if err != nil {
		return err
	}
	a.blocked = false
	if a.page.Backward {
		if e.removed >= a.next {
			a.next, a.certain = 0, true
			return nil
		}
		if a.certain || e.above == 0 {
			return nil
		}
		rows, err := r.store.windows(ctx, []window{{c, e.above, e.above}})
		if err != nil {
			return err
		}
		up := rows[c]
		if len(up) == 0 || up[0].before > a.next {
			return nil
		}
		a.next, a.certain = up[0].before, true
	} else {
		if e.removed > a.reached {
			a.reached = min(e.removed, a.last)
		}
		if e.above > a.last || e.above >= a.recent.First {
			e.above = 0
		}
		a.join()
		if a.done() {
			return nil
		}
	}
	w := a.window()
	if !a.page.Backward && e.above > w.first {
		w.first = e.above
		w.last = min(e.above+maxWindow-1, a.last, a.recent.First-1)
	}
	if w.last == 0 {
		return nil
	}
	rows, err := r.store.windows(ctx, []window{w})
	if err != nil {
		return err
	}
	a.rows(rows.within(w))
	if a.page.Backward && a.stands() && e.removed >= a.next {
		a.next = 0
	}
	return nil
}
