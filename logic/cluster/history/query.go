package history

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/protocol"
)

const (
	// shortBody is up to which size bodies come with their rows. Larger ones are asked for
	// when it is known which of them a page has room for.
	shortBody = 4096

	// maxWindow bounds the rows of one page, maxWindows the pages of one query, and maxRows
	// its rows.
	maxWindow  = 1024
	maxWindows = 128
	maxRows    = 8192
)

// columnsOfRow are the columns that scanRow reads.
var columnsOfRow = "SELECT kind, a, b, seq, before, n, sender, device, client_id, time, content, size, if(size <= " + strconv.Itoa(shortBody) + ", body, '') AS short"

// window is a range of a conversation's seqs, both ends included.
type window struct {
	conversation protocol.Conversation
	first, last  uint64
}

func (w *window) size() uint64 { return w.last - w.first + 1 }

// row is a message as ClickHouse has it.
type row struct {
	seq, before, n uint64
	message        protocol.Message
	size           uint32
	whole          bool // message has the body
}

// condition appends the condition that a row is of the window.
func (w *window) condition(sql []byte) []byte {
	sql = conversationIs(append(sql, '('), w.conversation)
	sql = strconv.AppendUint(append(sql, " AND seq >= "...), w.first, 10)
	sql = strconv.AppendUint(append(sql, " AND seq <= "...), w.last, 10)
	return append(sql, ')')
}

func conversationIs(sql []byte, c protocol.Conversation) []byte {
	sql = strconv.AppendUint(append(sql, "kind = "...), uint64(c.Kind), 10)
	sql = strconv.AppendUint(append(sql, " AND a = "...), c.A, 10)
	return strconv.AppendUint(append(sql, " AND b = "...), c.B, 10)
}

// anyOf appends the conditions of all of list, of which one must hold.
func anyOf[T any](sql []byte, list []T, condition func([]byte, *T) []byte) []byte {
	for i := range list {
		if i > 0 {
			sql = append(sql, " OR "...)
		}
		sql = condition(sql, &list[i])
	}
	return sql
}

// found is rows of many windows, by conversation and seq, each once.
type found map[protocol.Conversation][]row

// within gives the rows of a window.
func (f found) within(w window) []row {
	rows := f[w.conversation]
	at := func(seq uint64) int {
		i, _ := slices.BinarySearchFunc(rows, seq, func(r row, seq uint64) int { return cmp.Compare(r.seq, seq) })
		return i
	}
	end := len(rows)
	if w.last != ^uint64(0) {
		end = at(w.last + 1)
	}
	return rows[min(at(w.first), end):end]
}

// windows reads the rows of windows, by one query unless that would be too large.
func (s *Store) windows(ctx context.Context, list []window) (found, error) {
	rows := make(found)
	for len(list) > 0 {
		n, size := 0, uint64(0)
		for n < len(list) && n < maxWindows && (n == 0 || size+list[n].size() <= maxRows) {
			size += list[n].size()
			n++
		}
		part := list[:n]
		list = list[n:]
		sql := append(make([]byte, 0, 512+len(part)*96), columnsOfRow+" FROM messages PREWHERE "...)
		sql = anyOf(sql, part, func(sql []byte, w *window) []byte { return w.condition(sql) })
		sql = append(sql, " ORDER BY kind, a, b, seq, linked DESC LIMIT 1 BY kind, a, b, seq"...)
		if err := s.query(ctx, string(sql), func(r driver.Rows) error { return s.scanRow(r, rows) }); err != nil {
			return nil, err
		}
	}
	for key, list := range rows { // the windows of one conversation may be of several queries
		slices.SortStableFunc(list, func(x, y row) int { return cmp.Compare(x.seq, y.seq) })
		rows[key] = slices.CompactFunc(list, func(x, y row) bool { return x.seq == y.seq })
	}
	return rows, nil
}

// scanRow reads one row. It refuses an impossible one: the message is then missing, which is never
// taken for a hole.
func (s *Store) scanRow(rows driver.Rows, into found) error {
	var kind, content uint8
	var c protocol.Conversation
	var r row
	m := &r.message
	if err := rows.Scan(&kind, &c.A, &c.B, &r.seq, &r.before, &r.n, &m.Sender, &m.Device, &m.ClientID, &m.Time, &content, &r.size, &m.Body); err != nil {
		return err
	}
	c.Kind = protocol.Kind(kind)
	m.Seq, m.Content, m.Target = r.seq, protocol.Content(content), c.Target(m.Sender)
	r.whole = len(m.Body) == int(r.size)
	switch {
	case r.seq == 0 || r.before >= r.seq:
		s.refused("messages", "a seq that cannot be", key{c, r.seq})
	case r.size > protocol.MaxBody || r.size <= shortBody && !r.whole:
		s.refused("messages", "a body of another size than it says", key{c, r.seq})
	case m.Conversation() != c:
		s.refused("messages", "a sender who is not of the conversation", key{c, r.seq})
	default:
		into[c] = append(into[c], r)
	}
	return nil
}

// lastRemoved reads those messages of the windows that are the last which retention removed from
// their conversations.
func (s *Store) lastRemoved(ctx context.Context, list []window) (found, error) {
	rows := make(found)
	for part := range slices.Chunk(list, maxWindows) {
		sql := []byte("SELECT kind, a, b, seq, toUInt64(0) AS before, n, sender, device, client_id, time, content, size, body FROM removed WHERE ")
		sql = anyOf(sql, part, func(sql []byte, w *window) []byte { return w.condition(sql) })
		sql = append(sql, " LIMIT 1 BY kind, a, b"...)
		if err := s.query(ctx, string(sql), func(r driver.Rows) error { return s.scanRow(r, rows) }); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// key names a message.
type key struct {
	conversation protocol.Conversation
	seq          uint64
}

// bodies fills in the bodies that did not come with their rows.
func (s *Store) bodies(ctx context.Context, rows []*row) error {
	wanted := make(map[key]*[]byte)
	for part := range slices.Chunk(rows, maxWindows) {
		sql := append(make([]byte, 0, 256+len(part)*96), "SELECT kind, a, b, seq, body FROM messages PREWHERE "...)
		sql = anyOf(sql, part, func(sql []byte, r **row) []byte {
			return (&window{(*r).message.Conversation(), (*r).seq, (*r).seq}).condition(sql)
		})
		sql = append(sql, " ORDER BY kind, a, b, seq, linked DESC LIMIT 1 BY kind, a, b, seq"...)
		err := s.query(ctx, string(sql), func(rows driver.Rows) error {
			var kind uint8
			var k key
			body := new([]byte)
			if err := rows.Scan(&kind, &k.conversation.A, &k.conversation.B, &k.seq, body); err != nil {
				return err
			}
			k.conversation.Kind = protocol.Kind(kind)
			wanted[k] = body
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, r := range rows {
		body := wanted[key{r.message.Conversation(), r.seq}]
		if body != nil && len(*body) == int(r.size) {
			r.message.Body, r.whole = *body, true
		}
	}
	return nil
}

// gone gives the seq up to which retention removed everything, by conversation.
func (s *Store) gone(ctx context.Context, list []protocol.Conversation) (map[protocol.Conversation]uint64, error) {
	seqs := make(map[protocol.Conversation]uint64)
	for part := range slices.Chunk(list, maxWindows) {
		sql := append(make([]byte, 0, 128+len(part)*64), "SELECT kind, a, b, max(seq) FROM removed WHERE "...)
		sql = anyOf(sql, part, func(sql []byte, c *protocol.Conversation) []byte {
			return append(conversationIs(append(sql, '('), *c), ')')
		})
		err := s.query(ctx, string(append(sql, " GROUP BY kind, a, b"...)), func(rows driver.Rows) error {
			var kind uint8
			var c protocol.Conversation
			var seq uint64
			err := rows.Scan(&kind, &c.A, &c.B, &seq)
			c.Kind = protocol.Kind(kind)
			seqs[c] = seq
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return seqs, nil
}

// union asks the same about each of list, in few queries. ask appends the columns and the table for
// one of them. Each row of the answer is scanned into into; then take is called with the one that
// the row is about.
func union[T any](ctx context.Context, s *Store, list []T, ask func(sql []byte, x T) []byte, take func(x T), into ...any) error {
	for part := range slices.Chunk(list, maxWindows/4) {
		var sql []byte
		for i, x := range part {
			if i > 0 {
				sql = append(sql, " UNION ALL "...)
			}
			sql = strconv.AppendInt(append(sql, "SELECT toUInt32("...), int64(i), 10)
			sql = ask(append(sql, ") AS ask, "...), x)
		}
		var i uint32
		scanned := append([]any{&i}, into...)
		err := s.query(ctx, string(sql), func(rows driver.Rows) error {
			err := rows.Scan(scanned...)
			if err == nil && int(i) < len(part) {
				take(part[i])
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// edge is the first row above a gap in a conversation.
type edge struct{ seq, before uint64 }

// above gives the first message above where each page stands, for those that have one.
func (s *Store) above(ctx context.Context, asks []*ask) (map[*ask]edge, error) {
	edges := make(map[*ask]edge)
	var e edge
	err := union(ctx, s, asks, func(sql []byte, a *ask) []byte {
		at := a.reached
		if a.page.Backward {
			at = a.next
		}
		sql = append(sql, "min(seq) AS first, argMin(before, seq) AS previous FROM messages PREWHERE "...)
		return strconv.AppendUint(append(conversationIs(sql, a.page.Conversation), " AND seq > "...), at, 10)
	}, func(a *ask) {
		if e.seq > e.before { // 0: there is none
			edges[a] = e
		}
	}, &e.seq, &e.before)
	return edges, err
}
