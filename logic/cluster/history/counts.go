package history

import (
	"context"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/logic"
	"gannet/protocol"
)

// Counts asks for the counts as of a user's read cursor, for ledger.Learn.
type Counts struct {
	Conversation protocol.Conversation
	User, Seq    uint64

	// Results. N counts the messages up to Seq that count as unread, Own those of them
	// that the user sent. Where retention removed Seq they are the last that it removed.
	N, Own uint64
	Err    error

	owned bool // Own is known
}

// CountsAsOf fills in the counts of each ask, or its Err. Asks of all callers that wait
// are one query.
func (r *Reader) CountsAsOf(ctx context.Context, asks []*Counts) {
	newest := make([]*ask, 0, len(asks)) // the newest message at or below the cursor, of each
	var far []*ask
	for _, c := range asks {
		p := &logic.Page{Conversation: c.Conversation, From: c.Seq, Backward: true, Limit: 1, Room: protocol.MaxFrame}
		a := &ask{page: p}
		newest = append(newest, a)
		c.N, c.Own, c.owned = 0, 0, c.Seq == 0
		if c.Err = nil; c.owned {
			continue
		}
		a.recent, c.Err = r.tail.Recent(ctx, c.Conversation, 1, c.Seq)
		if c.Err = unavailable(c.Err); c.Err != nil {
			continue
		}
		a.begin()
		if !a.done() {
			far = append(far, a)
		}
		c.ownRecent(a.recent.Messages)
	}
	if len(far) > 0 {
		err := r.pages.do(ctx, far, func(waiting [][]*ask) { r.answer(context.WithoutCancel(ctx), slices.Concat(waiting...)) })
		for _, a := range far {
			if err != nil {
				a.page.Err = unavailable(err)
			}
		}
	}
	var rest []*Counts
	for i, c := range asks {
		a := newest[i]
		if c.Err == nil {
			c.Err = a.page.Err
		}
		if c.Err != nil {
			continue
		}
		gone := c.Seq > 0 && len(a.kept) == 0 && !a.nothing()
		if len(a.kept) > 0 {
			c.N = a.count()
		}
		if gone || !c.owned {
			rest = append(rest, c)
		}
	}
	if len(rest) == 0 {
		return
	}
	err := r.asks.do(ctx, rest, func(waiting [][]*Counts) {
		for part := range slices.Chunk(slices.Concat(waiting...), maxWindows/4) {
			r.counts(context.WithoutCancel(ctx), part)
		}
	})
	for _, c := range rest {
		if err != nil {
			c.Err = unavailable(err)
		}
	}
}

// count gives how many messages count up to the one that the ask found.
func (a *ask) count() uint64 {
	x := &a.kept[0]
	if x.row != nil {
		return x.row.n
	}
	for i := range a.recent.Messages {
		if m := &a.recent.Messages[i]; m.Seq == x.seq {
			return m.N
		}
	}
	return 0
}

// ownRecent looks for the newest message by the user in memory.
func (c *Counts) ownRecent(messages []Kept) {
	for _, k := range slices.Backward(messages) {
		var m protocol.Message
		if k.Seq <= c.Seq && m.Decode(k.Payload) == nil && m.Sender == c.User {
			c.Own, c.owned = k.Own, true
			return
		}
	}
}

// counts looks up what the users sent up to their cursors, and what retention kept. All
// of it only rises along a conversation, so the highest is the newest.
func (r *Reader) counts(ctx context.Context, asks []*Counts) {
	var sql []byte
	for i, c := range asks {
		if i > 0 {
			sql = append(sql, " UNION ALL "...)
		}
		number := func(text string, v uint64) { sql = strconv.AppendUint(append(sql, text...), v, 10) }
		number("SELECT toUInt32(", uint64(i))
		sql = conversationIs(append(sql, ") AS ask, toUInt64(0) AS n, max(own) AS own FROM senders PREWHERE "...), c.Conversation)
		number(" AND sender = ", c.User)
		number(" AND seq <= ", c.Seq)
		number(" UNION ALL SELECT toUInt32(", uint64(i))
		sql = conversationIs(append(sql, ") AS ask, max(n) AS n, max(own) AS own FROM removed WHERE "...), c.Conversation)
		number(" AND (whole = 1 OR sender = ", c.User)
		sql = append(sql, ')')
	}
	err := r.store.query(ctx, string(sql), func(rows driver.Rows) error {
		var i uint32
		var n, own uint64
		if err := rows.Scan(&i, &n, &own); err != nil {
			return err
		}
		if int(i) >= len(asks) {
			r.store.refused("senders", "an answer to no question", i)
			return nil
		}
		c := asks[i]
		c.N = max(c.N, n)
		if !c.owned {
			c.Own = max(c.Own, own)
		}
		return nil
	})
	for _, c := range asks {
		if c.Err = err; err == nil && c.Own > c.N {
			r.store.refused("senders", "more messages of one's own than there are", key{c.Conversation, c.Seq})
			c.Err = unavailable(errMissing)
		}
	}
}
