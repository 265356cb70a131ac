package logic

import (
	"encoding/binary"

	"gannet/protocol"
)

// Clients end the connection if they cannot decode a page, and ask for ever if a page does not lead
// on. So every page that a store gives is checked before it goes out.

// itemHead is the length that stands before each item of a page.
const itemHead = 4

// fault says what is wrong with the results of a page, "" if nothing is.
func (p *Page) fault() string {
	nothing := p.Last < p.First
	switch {
	case p.Count < 0 || p.Count > p.Limit || len(p.Items) > p.Room:
		return "more than was asked for"
	case !nothing && (p.First == 0 || p.Last > p.Head):
		return "seqs that cannot be"
	case p.Backward && (nothing && p.Head > 0 || !nothing && p.From != 0 && p.Last > p.From):
		return "another range"
	case !p.Backward && (nothing && max(p.From, 1) <= p.end() || !nothing && (p.First < p.From || p.Last > p.end())):
		return "another range"
	}
	return p.faultOfItems()
}

// end gives the seq at which a forward page ends at the latest.
func (p *Page) end() uint64 {
	if p.To != 0 {
		return min(p.To, p.Head)
	}
	return p.Head
}

// faultOfItems says what is wrong with the items: they must be exactly as many
// messages of this conversation as Count says, in rising order.
func (p *Page) faultOfItems() string {
	items, last := p.Items, uint64(0)
	for range p.Count {
		message, rest, ok := nextItem(items)
		var m protocol.Message
		switch {
		case !ok || m.Decode(message) != nil:
			return "an item that is no message"
		case m.Conversation() != p.Conversation:
			return "a message of another conversation"
		case m.Seq < p.First || m.Seq > p.Last || m.Seq <= last:
			return "a message out of place"
		case len(m.Body) > protocol.MaxBody:
			return "a body over the limit"
		}
		items, last = rest, m.Seq
	}
	if len(items) > 0 {
		return "more items than counted"
	}
	return ""
}

// nextItem splits the first item off.
func nextItem(items []byte) (message, rest []byte, ok bool) {
	if len(items) < itemHead {
		return nil, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(items))
	if items = items[itemHead:]; n > uint64(len(items)) {
		return nil, nil, false
	}
	return items[:n], items[n:], true
}

// fault says what is wrong with the answer to the query, "" if nothing is.
func (p *InboxPage) fault(q *InboxQuery) string {
	if len(p.States) > q.Limit {
		return "more than was asked for"
	}
	last := q.After
	for i := range p.States {
		x := &p.States[i]
		if !before(last, x.Target) {
			return "conversations out of order"
		}
		last = x.Target
		if len(x.Last) == 0 {
			continue
		}
		var m protocol.Message
		switch {
		case m.Decode(x.Last) != nil:
			return "a preview that is no message"
		case len(m.Body) > protocol.MaxPreview:
			return "a preview over the limit"
		case m.Conversation() != x.Target.Conversation(q.User):
			return "a preview of another conversation"
		}
	}
	if before(p.After, last) || p.More && p.After == q.After {
		return "a page that does not lead on"
	}
	return ""
}

// before says whether a comes before b in the order of targets.
func before(a, b protocol.Target) bool {
	return a.Kind < b.Kind || a.Kind == b.Kind && a.ID < b.ID
}
