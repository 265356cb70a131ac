package history

import (
	"context"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/internal/chain"
	"gannet/logic/ledger"
	"gannet/protocol"
)

const insertLost = "INSERT INTO lost (kind, a, b, seq, class, queue, position) VALUES"

// lostRows is what a block says of messages that are lost for good.
type lostRows struct {
	kinds, classes []uint8
	a, b, seqs     []uint64
	queues         []uint16
	positions      []int64
}

// addLost takes in that messages of conversations may be lost for good, up to their heads.
func (b *block) addLost(queue chain.Queue, at chain.Mark, states []*ledger.Loaded) {
	l := &b.lost
	for _, s := range states {
		if s.Err != nil || s.Head == 0 {
			continue
		}
		l.kinds, l.a, l.b = append(l.kinds, uint8(s.Key.Kind)), append(l.a, s.Key.A), append(l.b, s.Key.B)
		l.seqs, l.classes = append(l.seqs, s.Head), append(l.classes, uint8(queue.Class))
		l.queues, l.positions = append(l.queues, uint16(queue.Number)), append(l.positions, at.Offset)
		b.bytes += stateCost
	}
}

func (s *Store) insertLost(ctx context.Context, l *lostRows) error {
	if len(l.seqs) == 0 {
		return nil
	}
	return s.columns(ctx, insertLost, l.kinds, l.a, l.b, l.seqs, l.classes, l.queues, l.positions)
}

// GiveUp takes in the conversations of a queue, with the highest heads that they may have, before
// records are given up through an offset. What the tables have already stays if it is newer than
// that offset. Once the record at that offset is in, messages up to these heads that are still
// missing are lost for good.
func (s *Store) GiveUp(ctx context.Context, queue chain.Queue, through int64, states []*ledger.Loaded) error {
	b := newBlock()
	for _, l := range states {
		b.addState(l, uint64(through)+1)
	}
	b.addLost(queue, chain.Mark{Offset: through}, states)
	if err := s.insertRows(ctx, b); err != nil {
		return s.failed(&s.faults.inserts, "what is given up cannot be noted", err)
	}
	return nil
}

// Newest gives, by conversation, the seq of the newest message that is there or that retention
// removed.
func (s *Store) Newest(ctx context.Context, list []protocol.Conversation) (map[protocol.Conversation]uint64, error) {
	seqs := make(map[protocol.Conversation]uint64, len(list))
	for part := range slices.Chunk(list, maxHeads) {
		for _, table := range []string{"messages", "removed"} {
			sql := []byte("SELECT kind, a, b, max(seq) FROM " + table + " WHERE (kind, a, b) IN (")
			for i, c := range part {
				if i > 0 {
					sql = append(sql, ", "...)
				}
				sql = strconv.AppendUint(append(sql, '('), uint64(c.Kind), 10)
				sql = strconv.AppendUint(append(sql, ", "...), c.A, 10)
				sql = append(strconv.AppendUint(append(sql, ", "...), c.B, 10), ')')
			}
			err := s.query(ctx, string(append(sql, ") GROUP BY kind, a, b"...)), func(rows driver.Rows) error {
				var kind uint8
				var c protocol.Conversation
				var seq uint64
				err := rows.Scan(&kind, &c.A, &c.B, &seq)
				c.Kind = protocol.Kind(kind)
				seqs[c] = max(seqs[c], seq)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return seqs, nil
}

// lost gives, by conversation, the seq up to which missing messages are lost for good. It has only
// conversations for which that was noted and is certain, because all that the queue had is there.
func (s *Store) lost(ctx context.Context, list []protocol.Conversation) (map[protocol.Conversation]uint64, error) {
	return s.saidLost(ctx, list, true)
}

// saidLost is lost. If certain is false, it also gives what was only noted: some of those messages
// may still be in the queue.
func (s *Store) saidLost(ctx context.Context, list []protocol.Conversation, certain bool) (map[protocol.Conversation]uint64, error) {
	type said struct {
		conversation protocol.Conversation
		seq          uint64
		queue        chain.Queue
		position     int64
	}
	var all []said
	for part := range slices.Chunk(list, maxWindows) {
		sql := append(make([]byte, 0, 128+len(part)*64), "SELECT kind, a, b, seq, class, queue, min(position) FROM lost WHERE "...)
		sql = anyOf(sql, part, func(sql []byte, c *protocol.Conversation) []byte {
			return append(conversationIs(append(sql, '('), *c), ')')
		})
		err := s.query(ctx, string(append(sql, " GROUP BY kind, a, b, seq, class, queue"...)), func(rows driver.Rows) error {
			var kind, class uint8
			var number uint16
			var x said
			err := rows.Scan(&kind, &x.conversation.A, &x.conversation.B, &x.seq, &class, &number, &x.position)
			x.conversation.Kind, x.queue = protocol.Kind(kind), chain.Queue{Class: chain.Class(class), Number: int(number)}
			all = append(all, x)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	seqs, marks := make(map[protocol.Conversation]uint64), make(map[chain.Queue]chain.Mark)
	for _, x := range all {
		mark, known := marks[x.queue]
		if !known && certain {
			var err error
			if mark, err = s.Mark(ctx, x.queue); err != nil {
				return nil, err
			}
			marks[x.queue] = mark
		}
		if !certain || x.position <= mark.Offset {
			seqs[x.conversation] = max(seqs[x.conversation], x.seq)
		}
	}
	return seqs, nil
}

// below gives the newest message up to where each page stands, 0 for none.
func (s *Store) below(ctx context.Context, asks []*ask) (map[*ask]uint64, error) {
	seqs := make(map[*ask]uint64)
	var seq uint64
	err := union(ctx, s, asks, func(sql []byte, a *ask) []byte {
		sql = conversationIs(append(sql, "max(seq) AS newest FROM messages PREWHERE "...), a.page.Conversation)
		return strconv.AppendUint(append(sql, " AND seq <= "...), a.next, 10)
	}, func(a *ask) { seqs[a] = seq }, &seq)
	return seqs, err
}

// passLost moves pages past messages that are lost for good.
func (r *Reader) passLost(ctx context.Context, asks []*ask) error {
	if len(asks) == 0 {
		return nil
	}
	conversations := make([]protocol.Conversation, len(asks))
	for i, a := range asks {
		conversations[i] = a.page.Conversation
	}
	lost, err := r.store.lost(ctx, conversations)
	if err != nil || len(lost) == 0 {
		return err
	}
	// Rows that came before ClickHouse said so are there now, those above the lost messages too.
	above, err := r.store.above(ctx, asks)
	if err != nil {
		return err
	}
	var back []*ask
	for _, a := range asks {
		upto := lost[a.page.Conversation]
		switch {
		case a.page.Backward && a.next <= upto:
			back = append(back, a)
		case !a.page.Backward && a.reached < upto:
			if up, found := above[a]; found {
				upto = min(upto, up.seq-1)
			}
			upto = min(upto, a.recent.First-1) // what is in memory is not lost
			a.reached, a.blocked = max(a.reached, min(upto, a.last)), false
			a.join()
		}
	}
	if len(back) == 0 {
		return nil
	}
	below, err := r.store.below(ctx, back)
	for _, a := range back {
		a.next, a.certain = below[a], err == nil
	}
	return err
}

// lostBelow gives the seq of the newest message of the walk's device up to w.want, 0 for none. ok
// says that missing messages up to there are lost for good.
func (s *Store) lostBelow(ctx context.Context, w *walk) (seq uint64, ok bool, err error) {
	lost, err := s.lost(ctx, []protocol.Conversation{w.Key})
	if err != nil || lost[w.Key] < w.want {
		return 0, false, err
	}
	sql := conversationIs([]byte("SELECT max(seq) FROM senders PREWHERE "), w.Key)
	sql = strconv.AppendUint(append(sql, " AND sender = "...), w.User, 10)
	sql = strconv.AppendUint(append(sql, " AND device = "...), w.Device, 10)
	sql = strconv.AppendUint(append(sql, " AND seq <= "...), w.want, 10)
	err = s.query(ctx, string(sql), func(rows driver.Rows) error { return rows.Scan(&seq) })
	return seq, err == nil, err
}

// countLost is for counts with messages between the user's newest one and the cursor that are lost
// for good. It counts as of the user's newest message, because nobody knows who sent the lost ones.
func (r *Reader) countLost(ctx context.Context, list []*counting) error {
	var conversations []protocol.Conversation
	for _, x := range list {
		if x.torn {
			conversations = append(conversations, x.Conversation)
		}
	}
	if len(conversations) == 0 {
		return nil
	}
	lost, err := r.store.lost(ctx, conversations)
	if err != nil {
		return err
	}
	for _, x := range list {
		if !x.torn || lost[x.Conversation] <= x.lower {
			continue
		}
		sql := conversationIs([]byte("SELECT max(counted), max(sent) FROM (SELECT max(n) AS counted, max(own) AS sent FROM senders PREWHERE "), x.Conversation)
		sql = strconv.AppendUint(append(sql, " AND sender = "...), x.User, 10)
		sql = strconv.AppendUint(append(sql, " AND seq <= "...), x.lower, 10)
		// What retention removed counts too.
		sql = conversationIs(append(sql, " UNION ALL SELECT toUInt64(0) AS counted, max(own) AS sent FROM removed_senders WHERE "...), x.Conversation)
		sql = strconv.AppendUint(append(sql, " AND sender = "...), x.User, 10)
		sql = conversationIs(append(sql, " UNION ALL SELECT max(n) AS counted, toUInt64(0) AS sent FROM removed WHERE "...), x.Conversation)
		sql = append(sql, ')')
		err := r.store.query(ctx, string(sql), func(rows driver.Rows) error { return rows.Scan(&x.Count.Count, &x.Own) })
		if err != nil {
			return err
		}
		x.torn = false
	}
	return nil
}

// lastKept fills in what is shown for conversations whose newest message is lost: the newest
// message that is there, or one that says nothing, with the seq of the lost one. A caller that
// finds the newest message in the queue shows that one instead.
func (s *Store) lastKept(ctx context.Context, list []Whole) error {
	var conversations []protocol.Conversation
	for _, w := range list {
		if w.Err == nil && w.Last == nil {
			conversations = append(conversations, w.Key)
		}
	}
	if len(conversations) == 0 {
		return nil
	}
	lost, err := s.saidLost(ctx, conversations, false)
	if err != nil || len(lost) == 0 {
		return err
	}
	for i := range list {
		w := &list[i]
		if w.Err != nil || w.Last != nil || lost[w.Key] < w.Head {
			continue
		}
		a := &ask{page: pageOf(w.Key, w.Head), next: w.Head}
		below, err := s.below(ctx, []*ask{a})
		if err != nil {
			return err
		}
		rows, err := s.heads(ctx, []window{{w.Key, below[a], below[a]}})
		if err != nil {
			return err
		}
		shown := protocol.Message{Target: w.Key.Target(w.Key.A), Sender: w.Key.A, Time: w.Time, Content: protocol.ContentText}
		if found := rows[w.Key]; len(found) > 0 {
			if !found[0].whole {
				if err := s.bodies(ctx, []*row{&found[0]}); err != nil {
					return err
				}
			}
			shown = found[0].message
		}
		shown.Seq = w.Head
		w.Last = shown.AppendPayload(nil)
	}
	return nil
}
