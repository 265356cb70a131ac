package gannet

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"gannet/protocol"
)

// HistoryOption says which messages History gives.
type HistoryOption func(*span)

// span is what History goes over; the bounds are inclusive.
type span struct {
	forward     bool
	first, last uint64 // last 0: the head
	none        bool   // nothing is in it
	limit       int    // 0: no limit
}

// After gives the messages above seq, oldest first. After(0) begins with the first
// one of the conversation.
func After(seq uint64) HistoryOption {
	return func(s *span) {
		s.forward, s.first = true, seq+1
		s.none = s.none || s.first == 0
	}
}

// Before gives the messages below seq, newest first, unless After says oldest first.
func Before(seq uint64) HistoryOption {
	return func(s *span) {
		if s.none = s.none || seq <= 1; !s.none {
			s.last = seq - 1
		}
	}
}

// Limit ends after n messages, and asks the server for no more than that.
func Limit(n int) HistoryOption {
	return func(s *span) { s.none, s.limit = s.none || n < 1, n }
}

// History gives the messages of a conversation, this device's own included,
// fetching them page by page: newest first, from the newest one on. After, Before
// and Limit say which instead; for the page before the one that an app shows, the
// oldest seq that it shows is what Before takes. The loop ends after the last
// message, or with an error, which is that of ctx when it has ended. While the
// client is not connected it waits.
func (c *Client) History(ctx context.Context, conversation Target, options ...HistoryOption) iter.Seq2[Message, error] {
	s := span{first: 1}
	for _, o := range options {
		o(&s)
	}
	return func(yield func(Message, error) bool) {
		s := s // each range over it begins anew
		for !s.none {
			page, err := c.askPage(ctx, conversation, &s)
			if err != nil {
				yield(Message{}, err)
				return
			}
			for _, m := range s.cut(page) {
				if !yield(c.message(conversation, &m, m.Body), nil) {
					return
				}
			}
		}
	}
}

// askPage asks for the next page.
func (c *Client) askPage(ctx context.Context, conversation Target, s *span) (protocol.Messages, error) {
	ask := protocol.History{Target: conversation.wire(), Seq: s.first, Limit: protocol.MaxPage}
	if !s.forward {
		ask.Direction, ask.Seq = protocol.Backward, s.last
	}
	if s.limit > 0 && s.limit < protocol.MaxPage {
		ask.Limit = uint16(s.limit)
	}
	var page protocol.Messages
	payload, err := c.ask(ctx, protocol.TypeMessages, ask.AppendFrame)
	if err == nil {
		err = page.Decode(payload)
	}
	return page, err
}

// cut gives the messages of a page that are in the span, in its order, and takes
// them out of it.
func (s *span) cut(page protocol.Messages) []protocol.Message {
	messages := make([]protocol.Message, 0, page.Count)
	for m := range page.All() {
		if m.Seq >= s.first && (s.last == 0 || m.Seq <= s.last) {
			messages = append(messages, m)
		}
	}
	switch {
	case page.First > page.Last:
		s.none = true
	case s.forward:
		s.first = page.Last + 1
		s.none = page.Last >= page.Head || s.last != 0 && s.first > s.last
	default:
		slices.Reverse(messages)
		s.last = page.First - 1
		s.none = s.last < s.first
	}
	if s.limit > 0 {
		messages = messages[:min(len(messages), s.limit)]
		s.limit -= len(messages)
		s.none = s.none || s.limit == 0
	}
	return messages
}

// Conversations gives the conversations of the user, those with the newest message
// first and at most limit of them; those without any message come last. The server
// names all of them to the client, which chooses, so the limit saves memory and
// not traffic.
func (c *Client) Conversations(ctx context.Context, limit int) ([]Conversation, error) {
	limit = max(limit, 0)
	var list []Conversation
	newest := func() {
		slices.SortStableFunc(list, byRecency)
		clear(list[min(limit, len(list)):])
		list = list[:min(limit, len(list))]
	}
	for ask := (protocol.Sync{}); limit > 0; {
		payload, err := c.ask(ctx, protocol.TypeSynced, ask.AppendFrame)
		var page protocol.Synced
		if err == nil {
			err = page.Decode(payload)
		}
		if err != nil {
			return nil, err
		}
		for s := range page.States() {
			v, err := c.conversationOf(&s)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		if !page.More {
			break
		}
		if len(list) > 2*limit {
			newest()
		}
		ask.After = page.After
	}
	newest()
	return list, nil
}

// byRecency orders conversations by their newest message, newest first.
func byRecency(a, b Conversation) int {
	switch {
	case a.Last == nil || b.Last == nil:
		return cmp.Compare(age(a), age(b))
	default:
		return b.Last.Time.Compare(a.Last.Time)
	}
}

func age(v Conversation) int {
	if v.Last == nil {
		return 1
	}
	return 0
}

func (c *Client) conversationOf(s *protocol.State) (Conversation, error) {
	v := Conversation{
		Target: targetOf(s.Target), Head: s.Head, Delivered: s.Delivered, Read: s.Read,
		PeerDelivered: s.PeerDelivered, PeerRead: s.PeerRead, Unread: s.Unread,
	}
	if len(s.Last) == 0 {
		return v, nil
	}
	var last protocol.Message
	if err := last.Decode(s.Last); err != nil {
		return Conversation{}, err
	}
	m := c.message(v.Target, &last, last.Body)
	v.Last, v.LastSize = &m, int(s.LastSize)
	return v, nil
}
