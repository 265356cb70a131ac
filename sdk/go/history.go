package gannet

import (
	"context"
	"iter"

	"gannet/protocol"
)

// HistoryOptions say where History begins and which way it goes.
type HistoryOptions struct {
	From     uint64 // inclusive; 0 is the beginning, or the head when Backward
	Backward bool   // newest first
}

// History gives the messages of a conversation, this device's own included,
// fetching them page by page. It ends after the last one, or with an error.
func (c *Client) History(ctx context.Context, conversation Target, opts HistoryOptions) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		ask := protocol.History{Target: conversation, Seq: opts.From}
		if opts.Backward {
			ask.Direction = protocol.Backward
		}
		for {
			payload, err := c.ask(ctx, protocol.TypeMessages, ask.AppendFrame)
			var page protocol.Messages
			if err == nil {
				err = page.Decode(payload)
			}
			if err != nil {
				yield(Message{}, err)
				return
			}
			if page.First > page.Last {
				return
			}
			if !c.yieldPage(&page, opts.Backward, yield) {
				return
			}
			switch {
			case opts.Backward && page.First <= 1, !opts.Backward && page.Last >= page.Head:
				return
			case opts.Backward:
				ask.Seq = page.First - 1
			default:
				ask.Seq = page.Last + 1
			}
		}
	}
}

// yieldPage gives the messages of a page in the order asked for.
func (c *Client) yieldPage(page *protocol.Messages, backward bool, yield func(Message, error) bool) bool {
	if !backward {
		for m := range page.All() {
			if !yield(c.message(page.Target, &m, m.Body), nil) {
				return false
			}
		}
		return true
	}
	messages := make([]protocol.Message, 0, page.Count)
	for m := range page.All() {
		messages = append(messages, m)
	}
	for i := len(messages) - 1; i >= 0; i-- {
		if !yield(c.message(page.Target, &messages[i], messages[i].Body), nil) {
			return false
		}
	}
	return true
}

// Conversations gives the conversations of the user, ordered by target, fetching
// them page by page. It ends after the last one, or with an error.
func (c *Client) Conversations(ctx context.Context) iter.Seq2[Conversation, error] {
	return func(yield func(Conversation, error) bool) {
		var ask protocol.Sync
		for {
			payload, err := c.ask(ctx, protocol.TypeSynced, ask.AppendFrame)
			var page protocol.Synced
			if err == nil {
				err = page.Decode(payload)
			}
			if err != nil {
				yield(Conversation{}, err)
				return
			}
			for s := range page.States() {
				v, err := c.conversationOf(&s)
				if !yield(v, err) || err != nil {
					return
				}
			}
			if !page.More {
				return
			}
			ask.After = page.After
		}
	}
}

func (c *Client) conversationOf(s *protocol.State) (Conversation, error) {
	v := Conversation{
		Target: s.Target, Head: s.Head, Delivered: s.Delivered, Read: s.Read,
		PeerDelivered: s.PeerDelivered, PeerRead: s.PeerRead, Unread: s.Unread,
	}
	if len(s.Last) == 0 {
		return v, nil
	}
	var last protocol.Message
	if err := last.Decode(s.Last); err != nil {
		return Conversation{}, err
	}
	m := c.message(s.Target, &last, last.Body)
	v.Last, v.LastSize = &m, int(s.LastSize)
	return v, nil
}
