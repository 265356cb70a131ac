package history

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"gannet/protocol"
)

// If messages up to a cursor are missing, the first messages above it that are there give bounds
// for its counts: each carries how many messages count up to it, and how many of those its sender
// sent. So a list need not wait for messages that may never come.

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
		all := slices.Concat(waiting...)
		err := r.nearest(context.WithoutCancel(ctx), all)
		for _, x := range all {
			x.err = err
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
	for _, x := range list {
		x.atLeast, x.atMost = 0, unbound
	}
	var first, n, own uint64
	return union(ctx, r.store, list, func(sql []byte, x *counting) []byte {
		sql = strconv.AppendUint(append(sql, "min(seq) AS first, argMin(n, seq) AS counted, minIf(own + silent, sender = "...), x.User, 10)
		sql = conversationIs(append(sql, ") AS sent FROM messages PREWHERE "...), x.Conversation)
		return strconv.AppendUint(append(sql, " AND seq > "...), x.Seq, 10)
	}, func(x *counting) {
		if first > 0 { // 0: there is none
			x.nearer(first, n, own)
		}
	}, &first, &n, &own)
}

// unbound is the upper bound for a user of whom nothing is known.
const unbound = ^uint64(0)

// nearer takes in what bounds the counts. seq is the first message above the cursor, and n messages
// count up to it. own is how many the user had sent up to the user's first message above the
// cursor, that one included even if it is silent; 0: there is none.
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
