package history

import (
	"context"
	"errors"
	"slices"

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
	Linked   bool   // Previous is certain; else it says nothing where messages before First exist
	N, Own   uint64
	Payload  []byte // an encoded protocol.Message
}

// Reader reads messages back: it is logic's History, and what a ledger and a SYNC look up.
type Reader struct {
	store  *Store
	tail   Tail
	pages  line[[]*ask]
	walks  line[[]*walk]
	counts line[[]*counting]
	bounds line[[]*counting]
	loads  line[[]*ledger.Loaded]
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
	var far, all []*ask
	for _, p := range pages {
		from, to := max(p.From, 1), p.To
		if p.Backward {
			from, to = 1, p.From
		}
		if to == 0 {
			to = ^uint64(0)
		}
		recent, err := r.tail.Recent(ctx, p.Conversation, from, to)
		if p.Err = unavailable(err); err != nil {
			continue
		}
		a := &ask{page: p, recent: recent}
		all = append(all, a)
		if a.begin(); !a.done() {
			far = append(far, a)
		}
	}
	r.read(ctx, far)
	for _, a := range all {
		if a.page.Err == nil {
			a.finish()
		}
	}
	return nil
}

// pageOf asks for the newest message up to a seq.
func pageOf(c protocol.Conversation, seq uint64) *logic.Page {
	return &logic.Page{Conversation: c, From: seq, Backward: true, Limit: 1, Room: protocol.MaxFrame}
}

// read reads pages from ClickHouse, together with those of all who wait. Afterwards each has an Err
// or can be finished.
func (r *Reader) read(ctx context.Context, asks []*ask) {
	if len(asks) == 0 {
		return
	}
	err := r.pages.do(ctx, asks, func(waiting [][]*ask) {
		all := slices.Concat(waiting...)
		if err := r.answer(context.WithoutCancel(ctx), all); err != nil {
			for _, a := range all {
				a.page.Err = unavailable(err)
			}
		}
	})
	for _, a := range asks {
		switch {
		case err != nil: // nobody asked for it
			a.page.Err = unavailable(err)
		case a.page.Err == nil && a.stands():
			a.page.Err = r.missing(a.page.Conversation, a.first, a.last)
		}
	}
}

// missing counts and says that a range cannot be given.
func (r *Reader) missing(c protocol.Conversation, first, last uint64) error {
	if r.store.faults.missing.Note() {
		r.store.log.Warn("history: messages are not known to be complete", "conversation", c, "from", first, "to", last)
	}
	return unavailable(errMissing)
}

// answer reads what pages need from ClickHouse.
func (r *Reader) answer(ctx context.Context, asks []*ask) error {
	if err := r.round(ctx, asks); err != nil {
		return err
	}
	var standing []*ask
	for _, a := range asks {
		if a.stands() {
			standing = append(standing, a)
		}
	}
	if err := r.look(ctx, standing); err != nil {
		return err
	}
	var large []*row
	for _, a := range asks {
		for _, x := range a.kept {
			if x.row != nil && !x.row.whole {
				large = append(large, x.row)
			}
		}
	}
	if len(large) == 0 {
		return nil
	}
	if err := r.store.bodies(ctx, large); err != nil {
		return err
	}
	for _, a := range asks {
		for _, x := range a.kept {
			if x.row != nil && !x.row.whole {
				r.store.refused("messages", "a body that is not there", key{a.page.Conversation, x.seq})
				a.page.Err = unavailable(errMissing)
			}
		}
	}
	return nil
}

// round reads the next window of each page.
func (r *Reader) round(ctx context.Context, asks []*ask) error {
	windows := make([]window, len(asks))
	for i, a := range asks {
		windows[i] = a.window()
	}
	rows, err := r.store.windows(ctx, windows)
	if err != nil {
		return err
	}
	for i, a := range asks {
		a.rows(rows.within(windows[i]))
	}
	return nil
}

// look finds out why pages got nowhere, and moves them on: retention removed what they ask for, or
// a hole lies there, which the next row up proves, or messages were lost and given up. If none of
// this is so, a page stays where it is.
func (r *Reader) look(ctx context.Context, asks []*ask) error {
	if len(asks) == 0 {
		return nil
	}
	conversations := make([]protocol.Conversation, len(asks))
	for i, a := range asks {
		conversations[i] = a.page.Conversation
	}
	gone, err := r.store.gone(ctx, conversations)
	if err != nil {
		return err
	}
	var standing []*ask
	for _, a := range asks {
		if a.skip(gone[a.page.Conversation]); a.stands() {
			standing = append(standing, a)
		}
	}
	above, err := r.store.above(ctx, standing)
	if err != nil {
		return err
	}
	for a, up := range above {
		if a.jump(up) {
			a.skip(gone[a.page.Conversation])
		}
	}
	if err := r.goOn(ctx, asks); err != nil {
		return err
	}
	standing = slices.DeleteFunc(standing, func(a *ask) bool { return !a.stands() })
	if err := r.passLost(ctx, standing); err != nil {
		return err
	}
	return r.goOn(ctx, standing)
}

// goOn reads the next window of those pages that can be longer.
func (r *Reader) goOn(ctx context.Context, asks []*ask) error {
	var going []*ask
	for _, a := range asks {
		if !a.done() {
			going = append(going, a)
		}
	}
	if len(going) == 0 {
		return nil
	}
	return r.round(ctx, going)
}
