package history

import (
	"context"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/protocol"
)

// Count asks how many messages up to Seq count as unread, and how many of them User sent. If
// retention removed Seq, the counts are those of the last message that it removed.
type Count struct {
	Conversation protocol.Conversation
	User, Seq    uint64

	Count, Own uint64
	Bounds     bool // messages are missing: at least Count of them count, and User sent at most Own
	Err        error
}

// counting is a Count on its way.
type counting struct {
	*Count
	newest *ask   // the newest message up to Seq
	upper  uint64 // the newest message by the user is looked for up to this one
	lower  uint64 // the user's newest message, or the last that retention removed with all before it
	torn   bool   // the messages between lower and upper are not known to be complete
	err    error

	atLeast, atMost uint64 // bounds, where messages are missing
}

// CountsAsOf fills in each count, or its Err. Those of all callers that wait are a handful
// of queries.
func (r *Reader) CountsAsOf(ctx context.Context, counts []*Count) error {
	list := make([]*counting, 0, len(counts))
	var far []*ask
	for _, c := range counts {
		c.Count, c.Own, c.Bounds, c.Err = 0, 0, false, nil
		if c.Seq == 0 {
			continue
		}
		page := pageOf(c.Conversation, c.Seq)
		x := &counting{Count: c, newest: &ask{page: page}}
		// The message that a cursor names was durable before it was read, and its counts never
		// change. So if this node does not own the conversation, the history has them, a moment
		// later than memory.
		var err error
		if x.newest.recent, err = r.tail.Recent(ctx, c.Conversation, 1, c.Seq); err != nil {
			x.newest.recent = Recent{Head: c.Seq, First: c.Seq + 1, Before: c.Seq}
		}
		list = append(list, x)
		if x.newest.begin(); !x.newest.done() {
			far = append(far, x.newest)
		}
	}
	r.read(ctx, far)
	var open []*counting
	for _, x := range list {
		if x.Err = x.newest.page.Err; x.Err == nil && !x.recently() {
			open = append(open, x)
		}
	}
	if len(open) > 0 {
		r.countOwn(ctx, open)
	}
	r.bound(ctx, list)
	return nil
}

// countOwn finds out what users sent.
func (r *Reader) countOwn(ctx context.Context, open []*counting) {
	err := r.counts.do(ctx, open, func(waiting [][]*counting) {
		for part := range slices.Chunk(slices.Concat(waiting...), maxWindows/4) {
			err := r.ownOf(context.WithoutCancel(ctx), part)
			for _, x := range part {
				x.err = err
			}
		}
	})
	for _, x := range open {
		switch {
		case err != nil:
			x.Err = unavailable(err)
		case x.err != nil:
			x.Err = unavailable(x.err)
		case x.torn:
			x.Err = r.missing(x.Conversation, x.lower+1, x.upper)
		}
	}
}

// recently counts as far as memory and the newest message tell. It says whether that is enough; if
// not, the user's own messages must be looked for in ClickHouse.
func (x *counting) recently() bool {
	a := x.newest
	switch {
	case a.nothing(): // nobody wrote
		return true
	case len(a.kept) == 0: // retention removed it
		return false
	case a.kept[0].row != nil:
		x.Count.Count, x.upper = a.kept[0].row.n, a.kept[0].seq
		return false
	}
	for _, k := range slices.Backward(a.recent.Messages) {
		var m protocol.Message
		if k.Seq > x.Seq || m.Decode(k.Payload) != nil {
			continue
		}
		if k.Seq == a.kept[0].seq {
			x.Count.Count = k.N
		}
		if m.Sender == x.User {
			x.Own = k.Own
			return true
		}
	}
	x.upper = a.recent.Before
	return x.upper == 0
}

// ownOf looks for the newest message of each user, and for what retention removed. All
// that is counted only rises along a conversation, so the highest is the newest.
func (r *Reader) ownOf(ctx context.Context, list []*counting) error {
	var sql []byte
	number := func(text string, v uint64) { sql = strconv.AppendUint(append(sql, text...), v, 10) }
	for i, x := range list {
		if i > 0 {
			sql = append(sql, " UNION ALL "...)
		}
		number("SELECT toUInt32(", uint64(i))
		sql = conversationIs(append(sql, ") AS ask, toUInt64(0) AS counted, max(own) AS sent, max(seq) AS newest FROM senders PREWHERE "...), x.Conversation)
		number(" AND sender = ", x.User)
		number(" AND seq <= ", x.upper)
		number(" UNION ALL SELECT toUInt32(", uint64(i))
		sql = conversationIs(append(sql, ") AS ask, toUInt64(0) AS counted, max(own) AS sent, max(seq) AS newest FROM removed_senders WHERE "...), x.Conversation)
		number(" AND sender = ", x.User)
		number(" UNION ALL SELECT toUInt32(", uint64(i))
		sql = conversationIs(append(sql, ") AS ask, max(n) AS counted, toUInt64(0) AS sent, max(seq) AS newest FROM removed WHERE "...), x.Conversation)
	}
	err := r.store.query(ctx, string(sql), func(rows driver.Rows) error {
		var i uint32
		var n, own, seq uint64
		if err := rows.Scan(&i, &n, &own, &seq); err != nil {
			return err
		}
		if int(i) >= len(list) {
			r.store.refused("senders", "an answer to no question", i)
			return nil
		}
		x := list[i]
		x.Count.Count, x.Own, x.lower = max(x.Count.Count, n), max(x.Own, own), max(x.lower, seq)
		return nil
	})
	if err != nil {
		return err
	}
	return r.between(ctx, list)
}

// between checks the messages between the user's newest one and the cursor. Each names the seq
// before it, so if none is missing the differences add up to the whole. None of them may be the
// user's.
func (r *Reader) between(ctx context.Context, list []*counting) error {
	var sql []byte
	number := func(text string, v uint64) { sql = strconv.AppendUint(append(sql, text...), v, 10) }
	for i, x := range list {
		if x.Own > x.Count.Count {
			r.store.refused("senders", "more messages of one's own than there are", key{x.Conversation, x.Seq})
			x.torn = true
		}
		if x.torn || x.lower >= x.upper {
			continue // there are none, or they are gone
		}
		if len(sql) > 0 {
			sql = append(sql, " UNION ALL "...)
		}
		x.torn = true // unless the answer says that it is not
		number("SELECT toUInt32(", uint64(i))
		number(") AS ask, toUInt64(sum(seq - before)) AS whole, countIf(sender = ", x.User)
		sql = conversationIs(append(sql, ") AS sent FROM (SELECT DISTINCT seq, before, sender FROM messages PREWHERE "...), x.Conversation)
		number(" AND seq > ", x.lower)
		number(" AND seq <= ", x.upper)
		sql = append(sql, ')')
	}
	if len(sql) == 0 {
		return nil
	}
	err := r.store.query(ctx, string(sql), func(rows driver.Rows) error {
		var i uint32
		var whole, own uint64
		if err := rows.Scan(&i, &whole, &own); err != nil {
			return err
		}
		if int(i) >= len(list) {
			r.store.refused("messages", "an answer to no question", i)
			return nil
		}
		x := list[i]
		x.torn = whole != x.upper-x.lower || own != 0
		return nil
	})
	if err != nil {
		return err
	}
	return r.countLost(ctx, list)
}
