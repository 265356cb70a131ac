package history

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/logic/ledger"
	"gannet/protocol"
)

const (
	// walkWindow is how many seqs of a conversation the first round of a walk looks through. Each
	// later round takes walkGrowth times as many. So the walk of a device that sends seldom needs
	// few rounds, and that of one that sends often has found enough before windows are large.
	walkWindow = 4096
	walkGrowth = 4
)

// walk is a ledger.Walk on its way.
type walk struct {
	*ledger.Walk
	want uint64 // seq of the message that comes next
	size uint64 // of the window
	rows []link // of the round, newest first
	err  error  // of the round
}

// link is a message of a device in the table of senders.
type link struct {
	seq, id, time, previous uint64
	linked                  bool // previous is certain
}

// Walk implements ledger.Source: from the owner's memory as far as that goes, then from
// ClickHouse, round by round; the rounds of all callers that wait are one query.
func (r *Reader) Walk(ctx context.Context, walks []*ledger.Walk) error {
	var going []*walk
	for _, w := range walks {
		x := &walk{Walk: w, want: w.From, size: walkWindow}
		w.Err = nil
		more, err := r.walkRecent(ctx, x)
		switch {
		case err != nil:
			w.Err = unavailable(err)
		case more && x.want > 0:
			going = append(going, x)
		}
	}
	for len(going) > 0 {
		err := r.walks.do(ctx, going, func(waiting [][]*walk) {
			var all []*walk
			for _, list := range waiting {
				all = append(all, list...)
			}
			for part := range slices.Chunk(all, maxWindows) {
				r.walkRound(context.WithoutCancel(ctx), part)
			}
		})
		var next []*walk
		for _, w := range going {
			if w.Err = unavailable(cmp.Or(err, w.err)); w.Err != nil {
				continue
			}
			more, err := r.walkRows(ctx, w)
			if w.Err = err; err == nil && more {
				next = append(next, w)
			}
		}
		going = next
	}
	return nil
}

// walkRecent goes through what is in memory.
func (r *Reader) walkRecent(ctx context.Context, w *walk) (more bool, err error) {
	recent, err := r.tail.Recent(ctx, w.Key, 1, w.want)
	if err != nil {
		return false, err
	}
	for w.want >= recent.First && w.want > 0 {
		i, found := slices.BinarySearchFunc(recent.Messages, w.want, func(m Kept, seq uint64) int { return cmp.Compare(m.Seq, seq) })
		if !found {
			return false, r.missing(w.Key, w.want, w.want)
		}
		k := &recent.Messages[i]
		var m protocol.Message
		if m.Decode(k.Payload) != nil || m.Sender != w.User || m.Device != w.Device || k.Previous >= k.Seq {
			return false, r.missing(w.Key, w.want, w.want)
		}
		if !k.Linked && recent.First > 1 {
			return true, nil // what came before it may lie below the messages in memory: ClickHouse tells
		}
		w.want = k.Previous
		if !w.Visit(m.ClientID, m.Seq, m.Time, k.Previous) {
			return false, nil
		}
	}
	return true, nil
}

// walkRound reads the next window of each walk.
func (r *Reader) walkRound(ctx context.Context, walks []*walk) {
	type place struct {
		key          protocol.Conversation
		user, device uint64
	}
	rows := make(map[place][]link)
	sql := append(make([]byte, 0, 256+len(walks)*160), "SELECT kind, a, b, sender, device, seq, client_id, time, previous, linked FROM senders PREWHERE "...)
	sql = anyOf(sql, walks, func(sql []byte, w **walk) []byte {
		sql = conversationIs(append(sql, '('), (*w).Key)
		sql = strconv.AppendUint(append(sql, " AND sender = "...), (*w).User, 10)
		sql = strconv.AppendUint(append(sql, " AND device = "...), (*w).Device, 10)
		sql = strconv.AppendUint(append(sql, " AND seq > "...), (*w).bottom(), 10)
		sql = strconv.AppendUint(append(sql, " AND seq <= "...), (*w).want, 10)
		return append(sql, ')')
	})
	sql = append(sql, " ORDER BY kind, a, b, sender, device, seq DESC, linked DESC LIMIT 1 BY kind, a, b, sender, device, seq"...)
	err := r.store.query(ctx, string(sql), func(rs driver.Rows) error {
		var kind, linked uint8
		var p place
		var l link
		if err := rs.Scan(&kind, &p.key.A, &p.key.B, &p.user, &p.device, &l.seq, &l.id, &l.time, &l.previous, &linked); err != nil {
			return err
		}
		p.key.Kind, l.linked = protocol.Kind(kind), linked != 0
		if l.seq == 0 || l.previous >= l.seq {
			r.store.refused("senders", "a seq that cannot be", key{p.key, l.seq})
			return nil
		}
		rows[p] = append(rows[p], l)
		return nil
	})
	for _, w := range walks {
		w.rows, w.err = rows[place{w.Key, w.User, w.Device}], err
	}
}

// bottom gives the seq below the walk's window.
func (w *walk) bottom() uint64 { return w.want - min(w.size, w.want) }

// walkRows visits what a round found, and says whether the walk goes on.
func (r *Reader) walkRows(ctx context.Context, w *walk) (more bool, err error) {
	bottom := w.bottom()
	w.size *= walkGrowth
	visited := false
	for i := range w.rows {
		l := &w.rows[i]
		if l.seq > w.want || l.seq <= bottom {
			continue // of another walk of this device
		}
		if l.seq < w.want {
			break // the one that comes next is not there
		}
		previous := l.previous
		if !l.linked {
			switch {
			case i+1 < len(w.rows) && w.rows[i+1].seq > bottom:
				previous = w.rows[i+1].seq
			case bottom == 0:
				previous = 0
			default: // it lies further down
				return true, nil
			}
		}
		visited, w.want = true, previous
		if !w.Visit(l.id, l.seq, l.time, previous) || previous == 0 {
			return false, nil
		}
	}
	if visited {
		return true, nil
	}
	gone, err := r.store.gone(ctx, []protocol.Conversation{w.Key})
	switch {
	case err != nil:
		return false, err
	case gone[w.Key] >= w.want:
		return false, nil // the rest was removed
	}
	below, lost, err := r.store.lostBelow(ctx, w)
	switch {
	case err != nil:
		return false, err
	case lost && below < w.want:
		w.want = below
		return below > 0, nil
	}
	return false, r.missing(w.Key, w.want, w.want)
}
