package embedded

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// readMessage reads the message that the iterator is at; the body is valid until
// it moves.
func readMessage(it *pebble.Iterator) (links, protocol.Message, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return links{}, protocol.Message{}, err
	}
	if len(it.Key()) != messageSize {
		return links{}, protocol.Message{}, errCorrupt
	}
	return decodeMessage(keySeq(it.Key()), value)
}

// Pages implements logic.History.
func (s *Store) Pages(ctx context.Context, pages []*logic.Page) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.exit()
	for _, p := range pages {
		if err := s.page(ctx, p); err != nil {
			p.Err = unavailable(withFile(err))
			s.damage.pages.times.Add(1) // who asked logs it
		}
	}
	return nil
}

func (s *Store) page(ctx context.Context, page *logic.Page) error {
	err := s.queueOf(page.Conversation).ledger.View(ctx, page.Conversation, func(v ledger.View) { page.Head = v.Head })
	if err != nil {
		return err
	}
	page.First, page.Last = max(page.From, 1), page.Head
	if page.To != 0 {
		page.Last = min(page.To, page.Head)
	}
	if page.Backward {
		page.First, page.Last = 1, page.Head
		if page.From != 0 {
			page.Last = min(page.From, page.Head)
		}
	}
	if page.First > page.Last {
		return nil
	}
	place := placeOf(page.Conversation)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: messageKey(&place, page.First), UpperBound: messageKey(&place, page.Last+1)})
	if err != nil {
		return err
	}
	return errors.Join(readPage(ctx, it, page), it.Close())
}

// itemHead is the length that stands before each item of a page.
const itemHead = 4

// readPage takes messages until the page is full. Backward they are found newest
// first, so their items are put in order at the end.
func readPage(ctx context.Context, it *pebble.Iterator, page *logic.Page) error {
	begin, step := it.First, it.Next
	if page.Backward {
		begin, step = it.Last, it.Prev
	}
	var starts []int // of the items, backward
	for ok := begin(); ok; ok = step() {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		seq := keySeq(it.Key())
		_, message, err := splitMessage(seq, value)
		if err == nil {
			err = checkMessage(seq, message)
		}
		if err != nil {
			return err
		}
		if page.Count == page.Limit || page.Count > 0 && len(page.Items)+itemHead+len(message) > page.Room {
			if page.Backward {
				page.First = seq + 1
			} else {
				page.Last = seq - 1
			}
			break
		}
		if page.Backward {
			starts = append(starts, len(page.Items))
		}
		page.Items = binary.BigEndian.AppendUint32(page.Items, uint32(len(message)))
		page.Items = append(page.Items, message...)
		page.Count++
	}
	if page.Backward {
		page.Items = reversed(page.Items, starts)
	}
	return it.Error()
}

// reversed gives the items, which begin at starts, in the opposite order.
func reversed(items []byte, starts []int) []byte {
	out := make([]byte, 0, len(items))
	end := len(items)
	for i := len(starts) - 1; i >= 0; i-- {
		out = append(out, items[starts[i]:end]...)
		end = starts[i]
	}
	return out
}
