package history

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/protocol"
)

// Where messages up to a cursor are missing, the first ones above it that are there say
// between what its counts are: each carries how many count up to it, and how many of those
// its sender sent. So a list need not wait for what may never come.

// bound gives bounds for the counts of which messages are missing.
func (r *Reader) bound(ctx context.Context, list []*counting) {
	var lost []*counting
	for _, x := range list {
		if errors.Is(x.Err, errMissing) {
			lost = append(lost, x)
		}
	}
	if len(lost) == 0 {
		return
	}
	err := r.bounds.do(ctx, lost, func(waiting [][]*counting) {
		for part := range slices.Chunk(slices.Concat(waiting...), maxWindows/4) {
			err := r.nearest(context.WithoutCancel(ctx), part)
			for _, x := range part {
				x.err = err
			}
		}
	})
	for _, x := range lost {
		switch {
		case err != nil:
			x.Err = unavailable(err)
		case x.err != nil:
			x.Err = unavailable(x.err)
		default:
			x.Err, x.Bounds = nil, true
			r.nearestRecent(ctx, x)
			x.Count.Count, x.Own = max(x.Count.Count, x.atLeast), x.atMost
		}
	}
}

// nearest looks for the first message above each cursor, and for the user's first one.
func (r *Reader) nearest(ctx context.Context, list []*counting) error {
	var sql []byte
	number := func(text string, v uint64) { sql = strconv.AppendUint(append(sql, text...), v, 10) }
	for i, x := range list {
		x.atLeast, x.atMost = 0, unbound
		if i > 0 {
			sql = append(sql, " UNION ALL "...)
		}
		number("SELECT toUInt32(", uint64(i))
		number(") AS ask, min(seq) AS first, argMin(n, seq) AS counted, minIf(own + silent, sender = ", x.User)
		sql = conversationIs(append(sql, ") AS sent FROM messages PREWHERE "...), x.Conversation)
		number(" AND seq > ", x.Seq)
	}
	return r.store.query(ctx, string(sql), func(rows driver.Rows) error {
		var i uint32
		var first, n, own uint64
		if err := rows.Scan(&i, &first, &n, &own); err != nil {
			return err
		}
		if int(i) < len(list) && first > 0 { // 0: there is none
			list[i].nearer(first, n, own)
		}
		return nil
	})
}

// unbound is what a user sent at most of whom nothing is known.
const unbound = ^uint64(0)

// nearer takes in the first message above the cursor, up to which n count, and what the user
// had sent with the first one there, 0 for none.
func (x *counting) nearer(seq, n, own uint64) {
	x.atLeast = max(x.atLeast, n-min(n, seq-x.Seq)) // all that lies between may count
	if own > 0 {
		x.atMost = min(x.atMost, own-1)
	}
}

// nearestRecent takes in what the owner's memory has above the cursor: it is newer than
// what ClickHouse has.
func (r *Reader) nearestRecent(ctx context.Context, x *counting) {
	recent, err := r.tail.Recent(ctx, x.Conversation, x.Seq+1, unbound)
	if err != nil {
		return
	}
	var own uint64
	for i, k := range recent.Messages {
		var m protocol.Message
		if m.Decode(k.Payload) == nil && m.Sender == x.User {
			own = k.Own
			if i == 0 || recent.Messages[i-1].N == k.N { // it may be one that does not count
				own++
			}
			break
		}
	}
	if len(recent.Messages) > 0 {
		x.nearer(recent.Messages[0].Seq, recent.Messages[0].N, own)
	}
}
