package history

import (
	"context"

	"gannet/internal/chain"
	"gannet/protocol"
)

// The statements name their columns and end in VALUES, which old servers ask for.
const (
	insertMessages      = "INSERT INTO messages (kind, a, b, seq, before, sender, device, client_id, previous, linked, time, at, content, silent, n, own, size, body) VALUES"
	insertSenders       = "INSERT INTO senders (kind, a, b, sender, seq, device, client_id, previous, linked, time, at, n, own) VALUES"
	insertConversations = "INSERT INTO conversations (part, kind, a, b, head, time, n, changed, version) VALUES"
	insertCursors       = "INSERT INTO cursors (part, kind, a, b, user, delivered, read, counted, n, own, total, changed, version) VALUES"
	insertDevices       = "INSERT INTO devices (part, kind, a, b, user, device, client_id, last, acked, time, changed, gone, version) VALUES"
	insertMark          = "INSERT INTO marks (class, queue, position, writer, number, safe_position, safe_writer, safe_number, run) VALUES"
)

// insertRows writes a block but for its marks, one insert for each table. Senders come
// before messages, so that whoever sees a message finds it by its sender too.
func (s *Store) insertRows(ctx context.Context, b *block) error {
	if err := s.usable(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*s.options.Timeout)
	defer cancel()
	if len(b.seqs) > 0 {
		if err := s.columns(ctx, insertSenders, b.kinds, b.a, b.b, b.senders, b.seqs, b.devices, b.ids, b.previous, b.linked,
			b.times, b.seconds, b.n, b.own); err != nil {
			return err
		}
		if err := s.columns(ctx, insertMessages, b.kinds, b.a, b.b, b.seqs, b.befores, b.senders, b.devices, b.ids, b.previous, b.linked,
			b.times, b.seconds, b.contents, b.silents, b.n, b.own, b.sizes, b.bodies); err != nil {
			return err
		}
	}
	if err := s.insertStates(ctx, b); err != nil {
		return err
	}
	return s.insertLost(ctx, &b.lost)
}

// insertMarks says how far queues are taken in.
func (s *Store) insertMarks(ctx context.Context, marks map[chain.Queue]marked) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	var classes []uint8
	var queues []uint16
	var offsets, safe, runs []int64
	var writers, numbers, safeWriters, safeNumbers []uint64
	for queue, m := range marks {
		classes, queues = append(classes, uint8(queue.Class)), append(queues, uint16(queue.Number))
		offsets, writers, numbers = append(offsets, m.mark.Offset), append(writers, m.mark.Writer), append(numbers, m.mark.Number)
		safe, safeWriters, safeNumbers = append(safe, m.safe.Offset), append(safeWriters, m.safe.Writer), append(safeNumbers, m.safe.Number)
		runs = append(runs, int64(m.run))
	}
	return s.columns(ctx, insertMark, classes, queues, offsets, writers, numbers, safe, safeWriters, safeNumbers, runs)
}

// columns inserts columns, which are slices of one length.
func (s *Store) columns(ctx context.Context, sql string, columns ...any) error {
	s.done.inserts.Add(1)
	batch, err := s.conn.PrepareBatch(ctx, sql)
	if err != nil {
		return err
	}
	defer batch.Close()
	for i, c := range columns {
		if err := batch.Column(i).Append(c); err != nil {
			return err
		}
	}
	return batch.Send()
}

// keyed is the columns that all states begin with.
type keyed struct {
	parts, kinds []uint8
	a, b         []uint64
}

func (k *keyed) add(c protocol.Conversation) {
	k.parts, k.kinds = append(k.parts, uint8(c.Partition())), append(k.kinds, uint8(c.Kind))
	k.a, k.b = append(k.a, c.A), append(k.b, c.B)
}

func (s *Store) insertStates(ctx context.Context, b *block) error {
	if len(b.conversations) > 0 {
		var k keyed
		var heads, times, n, changed, versions []uint64
		for key, x := range b.conversations {
			k.add(key)
			heads, times, n = append(heads, x.state.Head), append(times, x.state.Time), append(n, x.state.Count)
			changed, versions = append(changed, x.state.Changed), append(versions, x.version)
		}
		if err := s.columns(ctx, insertConversations, k.parts, k.kinds, k.a, k.b, heads, times, n, changed, versions); err != nil {
			return err
		}
	}
	if len(b.members) > 0 {
		var k keyed
		var users, delivered, read, n, own, totals, changed, versions []uint64
		var counted []uint8
		for key, x := range b.members {
			m := &x.state
			k.add(key.conversation)
			users, delivered, read, counted = append(users, m.User), append(delivered, m.Delivered), append(read, m.Read), append(counted, bit(m.Counted))
			n, own, totals = append(n, m.Count), append(own, m.Own), append(totals, m.Total)
			changed, versions = append(changed, m.Changed), append(versions, x.version)
		}
		if err := s.columns(ctx, insertCursors, k.parts, k.kinds, k.a, k.b, users, delivered, read, counted, n, own, totals, changed, versions); err != nil {
			return err
		}
	}
	if len(b.known) == 0 {
		return nil
	}
	var k keyed
	var users, devices, ids, last, acked, times, changed, versions []uint64
	var gone []uint8
	for key, x := range b.known {
		d := &x.state
		k.add(key.conversation)
		users, devices, ids = append(users, d.User), append(devices, d.Device.Device), append(ids, d.MaxID)
		last, acked, times = append(last, d.Last), append(acked, d.Acked), append(times, d.Time)
		changed, gone, versions = append(changed, d.Changed), append(gone, bit(d.gone)), append(versions, x.version)
	}
	return s.columns(ctx, insertDevices, k.parts, k.kinds, k.a, k.b, users, devices, ids, last, acked, times, changed, gone, versions)
}
