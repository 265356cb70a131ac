//go:build cluster

package history

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// load reads the conversation of users 1 and 2 from ClickHouse.
func load(t *testing.T, s *Store) *ledger.Loaded {
	t.Helper()
	l := &ledger.Loaded{Key: direct(1, 2)}
	if err := NewReader(s, heads{}).Load(t.Context(), []*ledger.Loaded{l}); err != nil || l.Err != nil {
		t.Fatalf("a load: %v, %v", err, l.Err)
	}
	return l
}

// insert inserts what fill puts into a block.
func insert(t *testing.T, s *Store, fill func(*block)) {
	t.Helper()
	b := newBlock()
	fill(b)
	if err := s.insertRows(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// Of the states that were inserted the newest counts, also when an old one comes again.
func TestTheNewestStateCounts(t *testing.T) {
	n := clickHouseNode(t, 1)
	check := func(i uint64) {
		t.Helper()
		l := load(t, n.store)
		if l.Head != i || l.Count != i || len(l.Members) != 2 || l.Members[1].Read != i || l.Members[0].Total != i ||
			len(l.Devices) == 0 || l.Devices[0].MaxID != i || l.Devices[0].Last != i {
			t.Fatalf("after %d messages the conversation is %+v", i, l)
		}
	}
	const messages = 6
	for i := uint64(1); i <= messages; i++ {
		n.batch(1, 1, 2, i, "x")
		n.read(2, 1, i)
		n.flush()
		check(i)
	}
	insert(t, n.store, func(b *block) {
		b.add(n.queues[0].records[0])
		b.add(n.queues[0].records[1])
	})
	check(messages)
	// Nor does an old one within a block.
	insert(t, n.store, func(b *block) {
		for _, fed := range slices.Backward(n.queues[0].records) {
			b.add(fed)
		}
		if head := b.conversations[direct(1, 2)].state.Head; head != messages {
			t.Errorf("a block inserts the state at %d", head)
		}
	})
	check(messages)
}

// A device that made room is not there any more, whichever way the record came.
func TestDevicesThatMadeRoom(t *testing.T) {
	n := clickHouseNode(t, 1)
	n.batch(1, 1, 2, 1, "x")
	n.batch(1, 8, 2, 1, "x")
	n.batch(2, 1, 1, 1, "x")
	n.flush()
	at := ledger.Progress{Head: 3, Count: 3}
	insert(t, n.store, func(b *block) {
		b.add(&Fed{Version: 100, Change: &ledger.Change{
			Conversations: []ledger.Changed{{Key: direct(1, 2), Before: at, After: at, Gone: hop.Span{Start: 0, End: 1}}},
			Gone:          []ledger.Device{{User: 1, Device: 1, Acked: 1}},
		}})
		b.add(&Fed{Version: 101, Record: &hop.Record{Entries: []hop.RecordEntry{
			{Op: hop.OpGone, Conversation: direct(1, 2), User: 2, Device: 1, Seq: 3},
		}}})
	})
	if l := load(t, n.store); len(l.Devices) != 1 || l.Devices[0].User != 1 || l.Devices[0].Device != 8 {
		t.Errorf("the devices are %+v", l.Devices)
	}
	insert(t, n.store, func(b *block) {
		b.device(direct(1, 2), knownDevice{Device: ledger.Device{User: 1, Device: 1, Acked: 2}}, 102)
	})
	if l := load(t, n.store); len(l.Devices) != 2 || l.Devices[0].Acked != 2 {
		t.Errorf("after one is back the devices are %+v", l.Devices)
	}
}

// A cursor may be newer than the head that it is read with, and does not pass it.
func TestCursorsDoNotPassTheHead(t *testing.T) {
	s := ownClickHouse(t)
	insert(t, s, func(b *block) {
		b.progress(direct(1, 2), ledger.Progress{Head: 3, Count: 3}, 1)
		b.member(direct(1, 2), ledger.Member{User: 1, Delivered: 5, Read: 5, Counted: true, Count: 5, Own: 2, Total: 3}, 2)
		b.member(direct(1, 2), ledger.Member{User: 2, Delivered: 3, Read: 2, Counted: true, Count: 2, Own: 1, Total: 1}, 2)
		b.device(direct(1, 2), knownDevice{Device: ledger.Device{User: 1, Device: 1, MaxID: 9, Last: 4, Acked: 5}}, 2)
	})
	l := load(t, s)
	if m := l.Members[0]; m.Read != 3 || m.Delivered != 3 || m.Counted || m.Total != 3 {
		t.Errorf("user 1 is %+v", m)
	}
	if m := l.Members[1]; m.Read != 2 || !m.Counted || m.Count != 2 || m.Own != 1 {
		t.Errorf("user 2 is %+v", m)
	}
	if d := l.Devices[0]; d.Acked != 3 || d.Last != 3 || d.MaxID != 9 {
		t.Errorf("the device is %+v", d)
	}
}

// Rows that cannot be are counted, and missing.
func TestDamagedRows(t *testing.T) {
	s := ownClickHouse(t)
	var whole []written
	for seq := uint64(1); seq <= 5; seq++ {
		whole = append(whole, written{seq: seq, before: seq - 1, sender: 1, device: 1, previous: seq - 1, n: seq, own: seq, body: "body"})
	}
	r := talk(t, s, whole...)
	insert(t, s, func(b *block) {
		b.progress(direct(1, 2), ledger.Progress{Head: 5, Count: 5}, 1)
		b.member(direct(1, 2), ledger.Member{User: 1, Total: 5}, 1)
	})
	exec := func(sql string, args ...any) {
		t.Helper()
		if err := s.conn.Exec(t.Context(), fmt.Sprintf(sql, args...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ what, before, sender, size string }{
		{"a seq before it that is its own", "seq", "sender", "size"},
		{"a sender who is not of the conversation", "before", "9", "size"},
		{"a size that is not that of the body", "before", "sender", "7"},
	} {
		exec("INSERT INTO messages (kind, a, b, seq, before, sender, device, client_id, previous, linked, time, at, content, silent, n, own, size, body) "+
			"SELECT kind, a, b, seq, toUInt64(%s), toUInt64(%s), device, client_id, previous, toUInt8(2), time, at, content, silent, n, own, toUInt32(%s), body FROM messages WHERE seq = 3",
			c.before, c.sender, c.size)
		before := s.Vars()["damaged.row"]
		checkPages(t, r, pageCase{logic.Page{}, 1, 2, []uint64{1, 2}}, pageCase{page: logic.Page{Backward: true, From: 3}})
		if s.Vars()["damaged.row"] < before+2 {
			t.Errorf("%s is not counted", c.what)
		}
		exec("ALTER TABLE messages DROP PARTITION '2023-11-13'")
		talk(t, s, whole...)
	}
	checkPages(t, r, pageCase{logic.Page{}, 1, 5, []uint64{1, 2, 3, 4, 5}})

	// A conversation with more messages that count than it has, one in another partition, and
	// a cursor with more messages of one's own than there are.
	before := s.Vars()["damaged.row"]
	exec("INSERT INTO conversations (part, kind, a, b, head, time, n, changed, version) SELECT part, kind, a, b, head, time, head + 1, changed, version + 1 FROM conversations")
	l := &ledger.Loaded{Key: direct(1, 2)}
	if err := r.Load(t.Context(), []*ledger.Loaded{l}); !errors.Is(errors.Join(err, l.Err), logic.ErrUnavailable) {
		t.Errorf("a damaged conversation is %+v, %v", l, err)
	}
	exec("INSERT INTO conversations (part, kind, a, b, head, time, n, changed, version) SELECT part, kind, a, b, head, time, head, changed, version + 2 FROM conversations")
	exec("INSERT INTO cursors (part, kind, a, b, user, delivered, read, counted, n, own, total, changed, version) SELECT part, kind, a, b, user, 1, 1, 1, 1, 2, total, changed, version + 1 FROM cursors")
	l = &ledger.Loaded{Key: direct(1, 2)}
	if err := r.Load(t.Context(), []*ledger.Loaded{l}); !errors.Is(errors.Join(err, l.Err), logic.ErrUnavailable) {
		t.Errorf("a conversation with a damaged cursor is %+v, %v", l, err)
	}
	if s.Vars()["damaged.row"] < before+2 {
		t.Error("damaged states are not counted")
	}

	exec("INSERT INTO marks (class, queue, position, writer, number, safe_position, safe_writer, safe_number, run) SELECT 1, 0, 5, 7, 0, 9, 7, 0, 0")
	if mark, err := s.Mark(t.Context(), chain.Queue{Class: chain.Chat}); err != nil || mark != chain.Beginning {
		t.Errorf("a damaged mark is %v, %v", mark, err)
	}
}

// A message of a record that cannot be read is counted and left out, and nothing else is.
func TestDamagedRecords(t *testing.T) {
	frame := func(seq, sender, peer uint64) []byte {
		return protocol.Message{Target: protocol.Target{Kind: protocol.KindDirect, ID: peer}, Seq: seq, Time: 1, Sender: sender, Device: 1, ClientID: seq}.AppendFrame(nil)
	}
	for name, c := range map[string]struct {
		op    hop.Op
		seq   uint64
		frame []byte
	}{
		"no frame":                {hop.OpMessage, 2, nil},
		"a frame cut off":         {hop.OpMessage, 2, frame(2, 1, 2)[:30]},
		"another seq":             {hop.OpMessage, 2, frame(3, 1, 2)},
		"another conversation":    {hop.OpMessage, 2, frame(2, 1, 3)},
		"no seq":                  {hop.OpMessage, 0, frame(0, 1, 2)},
		"a hole without a range":  {hop.OpHole, 4, nil},
		"a hole that begins at 0": {hop.OpHole, 4, protocol.Range{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Last: 4}.AppendHole(nil)},
	} {
		record := new(hop.Record)
		add := func(op hop.Op, seq uint64, frame []byte) {
			start := uint32(len(record.Blob))
			record.Blob = append(record.Blob, frame...)
			record.Entries = append(record.Entries, hop.RecordEntry{Op: op, Conversation: direct(1, 2), User: 1, Device: 1, Seq: seq, Frame: hop.Span{Start: start, End: uint32(len(record.Blob))}})
		}
		add(hop.OpMessage, 1, frame(1, 1, 2))
		add(c.op, c.seq, c.frame)
		add(hop.OpMessage, 7, frame(7, 1, 2))
		b := newBlock()
		if refused := b.add(&Fed{Record: record, Version: 1}); refused != 1 || !slices.Equal(b.seqs, []uint64{1, 7}) || b.befores[1] != 6 {
			t.Errorf("%s: %d are refused, the messages are %v behind %v", name, refused, b.seqs, b.befores)
		}
	}

	m := frame(7, 1, 2)[protocol.HeaderSize:]
	if b := newBlock(); b.addMessage(direct(1, 2), 7, m, messageRow{before: 7}) || !b.addMessage(direct(1, 2), 7, m, messageRow{before: 5}) {
		t.Error("a message comes before itself, or not behind a hole")
	}

	n := clickHouseNode(t, 1)
	n.feeder.Add(&Fed{Queue: n.queues[0].name, Prev: chain.Beginning, Mark: chain.Mark{Offset: 0}, Version: 1, Record: &hop.Record{Entries: []hop.RecordEntry{{Op: hop.OpMessage, Conversation: direct(1, 2), Seq: 1}}}})
	if at, _ := n.feeder.Taken(n.queues[0].name); at.Offset != 0 || n.store.Vars()["damaged.message"] != 1 {
		t.Errorf("the record is not taken, or its message not counted: %v", at)
	}
}

// Where a message is there as it was when it was new and as it was read again from the
// queue, the former counts: it knows which one comes before it.
func TestWalkPrefersWhatIsLinked(t *testing.T) {
	s := ownClickHouse(t)
	r := talk(t, s,
		written{seq: 1, sender: 1, device: 1, n: 1, own: 1},
		written{seq: 5, before: 4, sender: 1, device: 1, previous: 3, n: 5, own: 3}, // 3 is missing
	)
	m := protocol.Message{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: 5, Time: 1_700_000_000_005, Sender: 1, Device: 1, ClientID: 1005}
	for range 3 {
		insert(t, s, func(b *block) {
			b.addMessage(direct(1, 2), 5, m.AppendPayload(nil), messageRow{before: 4, n: 5, own: 3})
		})
		var got []uint64
		w := &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: 5, Visit: func(_, seq, _, previous uint64) bool { got = append(got, seq, previous); return true }}
		if err := r.Walk(t.Context(), []*ledger.Walk{w}); err != nil || !errors.Is(w.Err, logic.ErrUnavailable) || !slices.Equal(got, []uint64{5, 3}) {
			t.Errorf("the walk visits %v, %v, %v", got, err, w.Err)
		}
		if err := s.conn.Exec(t.Context(), "OPTIMIZE TABLE senders FINAL"); err != nil { // what is left of a merge is the same
			t.Fatal(err)
		}
	}
	if n := count(t, s, "senders"); n != 2 {
		t.Errorf("%d rows are left of a merge", n)
	}
}

// A hole that a record announces, to each of the users, lies before the next message alone.
func TestHolesOfRecords(t *testing.T) {
	record := new(hop.Record)
	add := func(op hop.Op, seq uint64, frame []byte) {
		start := uint32(len(record.Blob))
		record.Blob = append(record.Blob, frame...)
		record.Entries = append(record.Entries, hop.RecordEntry{Op: op, Conversation: direct(1, 2), User: 1, Seq: seq, N: seq, Frame: hop.Span{Start: start, End: uint32(len(record.Blob))}})
	}
	for _, user := range []uint64{1, 2} {
		add(hop.OpHole, 8, protocol.Range{Target: protocol.Target{Kind: protocol.KindDirect, ID: 3 - user}, First: 5, Last: 8}.AppendHole(nil))
	}
	for _, seq := range []uint64{9, 10} {
		add(hop.OpMessage, seq, protocol.Message{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: seq, Time: 1_700_000_000_000, Sender: 1, Device: 1, ClientID: seq}.AppendFrame(nil))
	}
	s := ownClickHouse(t)
	talk(t, s, written{seq: 4, sender: 1, device: 1, n: 1, own: 1})
	insert(t, s, func(b *block) {
		if refused := b.add(&Fed{Record: record, Version: 1}); refused != 0 || !slices.Equal(b.befores, []uint64{4, 9}) {
			t.Errorf("%d are refused, the messages come behind %v", refused, b.befores)
		}
	})
	r := NewReader(s, heads{direct(1, 2): 10})
	checkPages(t, r,
		pageCase{logic.Page{}, 1, 10, []uint64{4, 9, 10}},
		pageCase{logic.Page{From: 6, To: 9}, 6, 9, []uint64{9}},
		pageCase{logic.Page{Backward: true, From: 8}, 1, 8, []uint64{4}},
	)
}

// Who sends seldom needs few queries.
func TestWalkOfOneWhoSendsSeldom(t *testing.T) {
	s := ownClickHouse(t)
	var list []written
	want := []uint64{}
	for i := uint64(1); i <= 60; i++ {
		seq := i * walkWindow
		list = append(list, written{seq: seq, before: seq - 1, sender: 1, device: 1, previous: seq - walkWindow, n: seq, own: i})
		want = append(want, seq)
	}
	slices.Reverse(want)
	r := talk(t, s, list...)
	before := s.Vars()["queries"]
	wantWalk(t, r, &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: want[0]}, want)
	if asked := s.Vars()["queries"] - before; asked > 6 {
		t.Errorf("%d queries for %d messages", asked, len(want))
	}
}
