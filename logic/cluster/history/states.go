package history

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/logic/ledger"
	"gannet/protocol"
)

// Load implements ledger.Source: it gives conversations as they were inserted. A caller that has
// newer records of a queue takes them in afterwards. The conversations of all callers that wait are
// one load.
func (r *Reader) Load(ctx context.Context, conversations []*ledger.Loaded) (err error) {
	if len(conversations) == 0 {
		return nil
	}
	nobody := r.loads.do(ctx, conversations, func(waiting [][]*ledger.Loaded) {
		for part := range slices.Chunk(slices.Concat(waiting...), maxWindows) {
			if err := r.load(context.WithoutCancel(ctx), part); err != nil {
				for _, l := range part {
					l.Err = err
				}
			}
		}
	})
	return unavailable(nobody)
}

func (r *Reader) load(ctx context.Context, conversations []*ledger.Loaded) error {
	ctx, cancel := context.WithTimeout(ctx, r.store.options.Timeout)
	defer cancel()
	wanted := make(map[protocol.Conversation][]*ledger.Loaded, len(conversations))
	for _, l := range conversations {
		wanted[l.Key] = append(wanted[l.Key], l)
	}
	sql := anyOf(nil, conversations, func(sql []byte, l **ledger.Loaded) []byte {
		sql = strconv.AppendInt(append(sql, "(part = "...), int64((*l).Key.Partition()), 10)
		return append(conversationIs(append(sql, " AND "...), (*l).Key), ')')
	})
	return r.store.states(ctx, string(sql), func(found *ledger.Loaded) error {
		for _, l := range wanted[found.Key] {
			*l = ledger.Loaded{Key: found.Key, Err: found.Err, Progress: found.Progress, Members: slices.Clone(found.Members), Devices: slices.Clone(found.Devices)}
		}
		return nil
	})
}

// states gives the conversations that meet a condition, one after the other. One that is damaged
// has an Err, so that it is not taken for one that nobody wrote to. Three queries run beside each
// other, all in the order of the conversations, so that nothing has to be gathered.
func (s *Store) states(ctx context.Context, where string, each func(*ledger.Loaded) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The query of cursors begins first: states that are newer than a cursor do no harm.
	cursors, err := open(ctx, s, "SELECT part, kind, a, b, user, delivered, read, counted, n, own, total, changed FROM cursors WHERE ("+where+
		") ORDER BY kind, a, b, user, version DESC LIMIT 1 BY kind, a, b, user", func(rows driver.Rows, m *ledger.Member, at *place) error {
		var counted uint8
		err := rows.Scan(&at.part, &at.kind, &at.key.A, &at.key.B, &m.User, &m.Delivered, &m.Read, &counted, &m.Count, &m.Own, &m.Total, &m.Changed)
		m.Counted = counted != 0
		return err
	})
	if err != nil {
		return err
	}
	defer cursors.close()
	devices, err := open(ctx, s, "SELECT part, kind, a, b, user, device, client_id, last, acked, time, changed, gone FROM devices WHERE ("+where+
		") ORDER BY kind, a, b, user, device, version DESC LIMIT 1 BY kind, a, b, user, device", func(rows driver.Rows, d *knownDevice, at *place) error {
		var gone uint8
		err := rows.Scan(&at.part, &at.kind, &at.key.A, &at.key.B, &d.User, &d.Device.Device, &d.MaxID, &d.Last, &d.Acked, &d.Time, &d.Changed, &gone)
		d.gone = gone != 0
		return err
	})
	if err != nil {
		return err
	}
	defer devices.close()
	conversations, err := open(ctx, s, "SELECT part, kind, a, b, head, time, n, changed FROM conversations WHERE ("+where+
		") ORDER BY kind, a, b, version DESC LIMIT 1 BY kind, a, b", func(rows driver.Rows, p *ledger.Progress, at *place) error {
		return rows.Scan(&at.part, &at.kind, &at.key.A, &at.key.B, &p.Head, &p.Time, &p.Count, &p.Changed)
	})
	if err != nil {
		return err
	}
	defer conversations.close()
	for conversations.next() {
		at := conversations.at
		l := &ledger.Loaded{Key: at.key, Progress: conversations.value}
		cursors.upTo(at, func(m ledger.Member) {
			if m.Own > m.Count || m.Total > l.Count {
				s.refused("cursors", "counts that cannot be", m)
				l.Err = unavailable(errDamaged)
			}
			l.Members = append(l.Members, within(m, l.Head))
		})
		devices.upTo(at, func(d knownDevice) {
			if !d.gone {
				d.Acked, d.Last = min(d.Acked, l.Head), min(d.Last, l.Head)
				l.Devices = append(l.Devices, d.Device)
			}
		})
		if l.Head == 0 || l.Count > l.Head || int(at.part) != at.key.Partition() {
			s.refused("conversations", "a conversation that cannot be", l.Key)
			l.Err = unavailable(errDamaged)
		}
		if l.Err != nil {
			l = &ledger.Loaded{Key: l.Key, Err: l.Err}
		}
		err := cmp.Or(cursors.err, devices.err) // then the rest would come without cursors and devices
		if err == nil {
			err = each(l)
		}
		if err != nil {
			cancel() // else the rest would be read
			return err
		}
	}
	return cmp.Or(conversations.err, cursors.err, devices.err)
}

// errDamaged says that a state is not as it was written.
var errDamaged = errors.New("history: a row that cannot be")

// within gives a user's state with cursors that do not pass the head: a cursor may be
// newer than the head that it is read with.
func within(m ledger.Member, head uint64) ledger.Member {
	m.Delivered = min(m.Delivered, head)
	if m.Read > head {
		m.Read, m.Counted, m.Count, m.Own = head, false, 0, 0
	}
	return m
}

// place is where a state belongs.
type place struct {
	part, kind uint8
	key        protocol.Conversation
}

func (p place) before(q place) bool {
	return cmp.Or(cmp.Compare(p.kind, q.kind), cmp.Compare(p.key.A, q.key.A), cmp.Compare(p.key.B, q.key.B)) < 0
}

// stream is the states of one table, in the order of their conversations.
type stream[T any] struct {
	store *Store
	rows  driver.Rows
	scan  func(driver.Rows, *T, *place) error
	at    place
	value T
	ended bool
	err   error
}

// open begins a query, and stands before its first row.
func open[T any](ctx context.Context, s *Store, sql string, scan func(driver.Rows, *T, *place) error) (*stream[T], error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	s.done.queries.Add(1)
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return nil, s.failed(&s.faults.queries, "a query failed", err)
	}
	return &stream[T]{store: s, rows: rows, scan: scan}, nil
}

// next goes to the next row.
func (s *stream[T]) next() bool {
	if s.ended {
		return false
	}
	var value T
	s.at = place{}
	if !s.rows.Next() {
		s.end(s.rows.Err())
		return false
	}
	if err := s.scan(s.rows, &value, &s.at); err != nil {
		s.end(err)
		return false
	}
	s.at.key.Kind, s.value = protocol.Kind(s.at.kind), value
	return true
}

func (s *stream[T]) end(err error) {
	s.ended = true
	s.at = place{kind: math.MaxUint8, key: protocol.Conversation{A: math.MaxUint64, B: math.MaxUint64}}
	if err != nil {
		s.err = s.store.failed(&s.store.faults.queries, "a query failed", err)
	}
}

// upTo gives the rows of a conversation, and passes those of conversations before it.
func (s *stream[T]) upTo(at place, each func(T)) {
	for !s.ended && !at.before(s.at) {
		if s.at.key == at.key && s.at.kind == at.kind {
			each(s.value)
		}
		s.next()
	}
}

func (s *stream[T]) close() { _ = s.rows.Close() } // its error is that of the query
