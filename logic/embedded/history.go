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

// Pages implements logic.History.
func (s *Store) Pages(ctx context.Context, pages []*logic.Page) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.exit()
	for _, p := range pages {
		if err := s.page(ctx, p); err != nil {
			p.Err = unavailable(withFile(err))
			s.damage.pages.Count() // who asked logs it
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
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix(&place, sectionMessage), UpperBound: prefix(&place, sectionMember)})
	if err != nil {
		return err
	}
	return errors.Join(readPage(ctx, messagesOf(it, place), page), it.Close())
}

// itemHead is the length that stands before each item of a page.
const itemHead = 4

// messageHead is what an encoded Message has beside its body.
var messageHead = len(protocol.Message{}.AppendPayload(nil))

// readPage takes messages until the page is full. Backward they are found newest
// first, so their items are put in order at the end.
func readPage(ctx context.Context, m *messages, page *logic.Page) error {
	first, last := page.First, page.Last
	begin, step := func() bool { return m.seek(first) }, m.next
	if page.Backward {
		begin, step = func() bool { return m.seekBack(last) }, m.prev
	}
	var starts []int // of the items, backward
	for ok := begin(); ok && m.seq() >= first && m.seq() <= last; ok = step() {
		if err := ctx.Err(); err != nil {
			return err
		}
		message := m.message()
		if page.Count == page.Limit || page.Count > 0 && len(page.Items)+itemHead+messageHead+len(message.Body) > page.Room {
			if page.Backward {
				page.First = m.seq() + 1
			} else {
				page.Last = m.seq() - 1
			}
			break
		}
		if page.Backward {
			starts = append(starts, len(page.Items))
		}
		page.Items = binary.BigEndian.AppendUint32(page.Items, uint32(messageHead+len(message.Body)))
		page.Items = message.AppendPayload(page.Items)
		page.Count++
	}
	if page.Backward {
		page.Items = reversed(page.Items, starts)
	}
	return m.err
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
