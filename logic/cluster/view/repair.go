package view

import (
	"context"
	"fmt"

	"gannet/internal/chain"
	"gannet/internal/redis"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// What the owner does when Redis is not what it was depends on the mark that Redis has (State, or a
// *Conflict):
//
//	the one that it believes    Nothing was lost: Confirm.
//	an older one                It takes the records behind that mark in again, by another Writer,
//	                            and then calls Confirm. Until then nothing new is taken in and
//	                            nothing is answered.
//	none, and there is a        Adopt(Beginning, true). From then on records are taken in, and
//	history to fill it from     conversations that are back are loaded, while Fill brings the
//	                            others; Complete when all are back.
//	a newer one, or a foreign   The queue was taken over: it takes the queue over again before it
//	one                         says what is true.
//
// Restore is for single conversations that are damaged or not back. Adopt(found, false) is for
// `gannet mend`, which sets the mark to the end of a loss.

// Whole is a conversation as it is written anew: all of its members and devices, and its
// newest message, an encoded protocol.Message.
type Whole struct {
	*ledger.Loaded
	Last []byte
}

// maxWhole bounds what one script writes anew, in bytes.
const maxWhole = 256 << 10

// Restore writes conversations anew while the view is at the mark from.
func (w *Writer) Restore(ctx context.Context, from chain.Mark, list []Whole) error {
	return w.write(ctx, replace, from, list)
}

// Fill brings conversations back into an incomplete view. What records have brought since
// Adopt stays; list is as of the mark of Adopt.
func (w *Writer) Fill(ctx context.Context, list []Whole) error {
	return w.write(ctx, fill, w.Mark(), list)
}

func (w *Writer) write(ctx context.Context, script *redis.Script, at chain.Mark, list []Whole) error {
	for len(list) > 0 {
		n, err := w.encodeWhole(list)
		if err != nil {
			return err
		}
		if err := setMasks(ctx, w.view.client, w.view.options.Name, w.bit, w.created); err != nil {
			return w.view.unavailable("masks cannot be set", err)
		}
		a, err := w.call(ctx, redis.Call{Script: script, Args: []any{appendMark(nil, at), number(w.Stamp()), w.pack.b}})
		if err != nil {
			return err
		}
		has, err := readMark(a.text(1))
		if err != nil {
			return w.view.unavailable("the mark of a view", err)
		}
		stamp, err := readStamp(a.text(2))
		if err != nil {
			return w.view.unavailable("the stamp of a view", err)
		}
		if a.code() == answerOther {
			return &Conflict{Queue: w.queue, Has: has, Believe: at}
		}
		w.mu.Lock()
		w.stamp = max(w.stamp, stamp)
		w.mu.Unlock()
		list = list[n:]
	}
	return nil
}

// encodeWhole packs as many conversations as one script takes, at least one.
func (w *Writer) encodeWhole(list []Whole) (n int, err error) {
	p := &w.pack
	p.reset()
	w.created = w.created[:0]
	p.list(2)
	at := p.open()
	for n < len(list) && (n == 0 || len(p.b) < maxWhole) {
		c := &list[n]
		if c.Head == 0 || len(c.Last) == 0 {
			return 0, fmt.Errorf("view: %v is written anew without a message", c.Key)
		}
		if err := p.conversation(c.Loaded, c.Last); err != nil {
			return 0, err
		}
		w.created = append(w.created, users(c.Key)...)
		n++
	}
	p.close(at, n)
	at, entries := p.open(), 0
	for i := range list[:n] {
		entries += p.enter(list[i].Key)
	}
	p.close(at, entries)
	return n, nil
}

// Adopt moves the view from the mark that was found in Redis to the writer's own, which Believe
// told. incomplete says that the view lacks conversations, which Fill brings back.
func (w *Writer) Adopt(ctx context.Context, from chain.Mark, incomplete bool) error {
	mark := w.Mark()
	flag := ""
	if incomplete {
		flag = "1"
	}
	a, err := w.call(ctx, redis.Call{Script: adopt, Args: []any{appendMark(nil, from), appendMark(nil, mark), number(w.Stamp()), flag}})
	if err != nil {
		return err
	}
	return w.reached(a, mark)
}

// Skip marks damaged conversations as not back and removes what Redis has of them. The view is
// about to pass records without them; if somebody made the old content readable again, it would be
// taken for all there is. They are Damaged until somebody writes them anew.
func (w *Writer) Skip(ctx context.Context, list []protocol.Conversation) error {
	var places []byte
	for _, c := range list {
		places = appendPlace(places, c)
	}
	a, err := w.call(ctx, redis.Call{Script: skip, Args: []any{appendMark(nil, w.Mark()), places}})
	if err != nil {
		return err
	}
	return w.reached(a, w.Mark())
}

// Forsake notes that nobody has all of these damaged conversations any more. Load gives them
// ErrForsaken until somebody writes them anew.
func (w *Writer) Forsake(ctx context.Context, list []protocol.Conversation) error {
	var places []byte
	for _, c := range list {
		places = appendPlace(places, c)
	}
	_, err := w.call(ctx, redis.Call{Script: forsake, Args: []any{places}})
	return err
}

// Complete says that everything is back, and confirms the view.
func (w *Writer) Complete(ctx context.Context) error { return w.confirm(ctx, "1") }
