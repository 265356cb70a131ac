//go:build cluster

package history

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/redis/redistest"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// A rebuilding gives each conversation of the queue once, as the ledger has it, in batches,
// and says how far it is.
func TestRebuild(t *testing.T) {
	n := clickHouseNode(t, 3)
	peers := []uint64{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	for _, peer := range peers {
		n.batch(1, 1, peer, peer, repeat(int(peer), "x")...)
		n.read(peer, 1, peer/2)
		n.batch(peer, 7, 1, 1, "answer")
	}
	n.flush()
	seen := make(map[protocol.Conversation]bool)
	for _, q := range n.queues {
		inserted, _ := n.feeder.Inserted(q.name)
		var last Progress
		given := 0
		err := n.store.Rebuild(t.Context(), Rebuild{Queue: q.name, Queues: 3, Kinds: []protocol.Kind{protocol.KindGroup, protocol.KindDirect}, Batch: 2}, func(list []Whole, p Progress) error {
			if len(list) > 2 || p.Mark != inserted || p.Steps < last.Steps || p.Steps > p.Whole {
				t.Errorf("%d conversations, %+v after %+v", len(list), p, last)
			}
			for _, l := range list {
				if seen[l.Key] || n.queueOf(l.Key) != q {
					t.Errorf("%v is given twice, or to another queue", l.Key)
				}
				seen[l.Key] = true
				given++
				peer := l.Key.B
				check := &ledger.Loaded{Key: l.Key}
				if err := n.reader.Load(t.Context(), []*ledger.Loaded{check}); err != nil || !reflect.DeepEqual(check, l.Loaded) {
					t.Errorf("a load gives\n%+v, %v; a rebuilding\n%+v", check, err, l.Loaded)
				}
				if l.Head != peer+1 || l.Count != peer+1 || len(l.Members) != 2 || len(l.Devices) != 2 {
					t.Errorf("the conversation is %+v", l.Loaded)
					continue
				}
				if m := l.Members[0]; m.User != 1 || m.Total != peer || m.Read != 0 {
					t.Errorf("user 1 is %+v", m)
				}
				if m := l.Members[1]; m.User != peer || m.Total != 1 || m.Read != peer/2 || m.Delivered < m.Read {
					t.Errorf("user %d is %+v", peer, m)
				}
				if d := l.Devices[0]; d.User != 1 || d.Device != 1 || d.Last != peer || d.MaxID != 2*peer-1 || d.Acked != peer {
					t.Errorf("the device of user 1 is %+v", d)
				}
				var m protocol.Message
				if err := m.Decode(l.Last); err != nil || m.Seq != l.Head || string(m.Body) != "answer" {
					t.Errorf("the newest message is %+v, %v", m, err)
				}
			}
			last = p
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if last.Steps != last.Whole || last.Conversations != given {
			t.Errorf("at the end the progress is %+v, and %d were given", last, given)
		}
	}
	if len(seen) != len(peers) {
		t.Errorf("%d conversations, want %d", len(seen), len(peers))
	}
	// Other kinds are not given, and an error of whoever takes ends it.
	which := Rebuild{Queue: n.queues[0].name, Queues: 3, Kinds: []protocol.Kind{protocol.KindSystem}}
	if err := n.store.Rebuild(t.Context(), which, func(list []Whole, p Progress) error {
		if len(list) != 0 {
			t.Errorf("%d conversations of another kind", len(list))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	stop := errors.New("stop")
	which.Kinds = []protocol.Kind{protocol.KindDirect}
	if err := n.store.Rebuild(t.Context(), which, func([]Whole, Progress) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of whoever takes gives %v", err)
	}
	for _, w := range []Rebuild{{}, {Queues: 1}, {Queue: chain.Queue{Number: 3}, Queues: 3, Kinds: which.Kinds}} {
		if err := n.store.Rebuild(t.Context(), w, func([]Whole, Progress) error { return nil }); err == nil {
			t.Errorf("%+v is rebuilt", w)
		}
	}
}

// Some conversations are given alone, as they are with all others.
func TestRebuildSome(t *testing.T) {
	n := clickHouseNode(t, 1)
	chat(n)
	n.batch(1, 1, 4, 1, "and another")
	n.flush()
	var want []Whole
	for _, w := range all(t, n.store, 1) {
		if w.Key != direct(1, 3) {
			want = append(want, w)
		}
	}
	if len(want) != 2 {
		t.Fatalf("there are %d others", len(want))
	}
	var got []Whole
	which := Rebuild{
		Queue: n.queues[0].name, Queues: 1, Kinds: []protocol.Kind{protocol.KindDirect},
		Only: []protocol.Conversation{direct(1, 4), direct(7, 8), direct(1, 2)},
	}
	for _, only := range [][]protocol.Conversation{which.Only, {}} {
		which.Only = only
		if err := n.store.Rebuild(t.Context(), which, func(list []Whole, _ Progress) error { got = append(got, list...); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	same(t, got, want)
}

// If one of the tables cannot be read to its end, no conversation is given without what that table
// has of it.
func TestRebuildGivesNothingByHalves(t *testing.T) {
	for _, table := range []string{"devices", "cursors"} {
		n := clickHouseNode(t, 1)
		chat(n)
		n.flush()
		if err := n.store.conn.Exec(t.Context(), "ALTER TABLE "+table+" MODIFY COLUMN changed String"); err != nil {
			t.Fatal(err)
		}
		which := Rebuild{Queue: n.queues[0].name, Queues: 1, Kinds: []protocol.Kind{protocol.KindDirect}, Batch: 1}
		err := n.store.Rebuild(t.Context(), which, func(list []Whole, _ Progress) error {
			for _, l := range list {
				t.Errorf("without %s there is given %+v", table, l.Loaded)
			}
			return nil
		})
		if err == nil {
			t.Errorf("a table %s that cannot be read is no error", table)
		}
	}
}

// An emptied view that is filled from ClickHouse, while records after the mark go on to it,
// ends as one that took in all records.
func TestRebuildFillsAView(t *testing.T) {
	n := clickHouseNode(t, 1)
	q := n.queues[0]
	chat(n)
	n.flush()
	n.batch(1, 1, 4, 1, "not inserted", "at all")
	n.batch(1, 1, 2, 5, "inserted without a mark")
	n.read(1, 2, 9)
	newer := newBlock()
	for _, fed := range q.records[len(q.records)-2:] {
		newer.add(fed)
	}
	if err := n.store.insertRows(t.Context(), newer); err != nil {
		t.Fatal(err)
	}

	address := servicestest.Redis(t)
	client := redistest.Client(t, address)
	writer := func() *view.Writer {
		v, err := view.New(client, view.Options{Name: redistest.Prefix(t, address), Queues: []chain.Queue{q.name}, Counts: counted{n.reader}})
		if err != nil {
			t.Fatal(err)
		}
		w, err := v.Writer(q.name)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	forward := func(w *view.Writer, records []*Fed) {
		t.Helper()
		for _, fed := range records {
			if err := w.Forward(t.Context(), fed.Mark, fed.Change); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole, filled := writer(), writer()
	forward(whole, q.records)

	mark, err := n.store.Mark(t.Context(), q.name)
	if err != nil {
		t.Fatal(err)
	}
	filled.Believe(mark, 0)
	if err := filled.Adopt(t.Context(), chain.Beginning, true); err != nil {
		t.Fatal(err)
	}
	rest := q.records[mark.Offset+1:]
	if len(rest) != 3 {
		t.Fatalf("the mark is %v of %d", mark, len(q.records))
	}
	forward(filled, rest[:1])
	err = n.store.Rebuild(t.Context(), Rebuild{Queue: q.name, Queues: 1, Kinds: []protocol.Kind{protocol.KindDirect}}, func(list []Whole, p Progress) error {
		if p.Mark != mark {
			t.Errorf("the mark is %v, was %v", p.Mark, mark)
		}
		var fill []view.Whole
		for _, l := range list {
			fill = append(fill, view.Whole(l))
		}
		return filled.Fill(t.Context(), fill)
	})
	if err != nil {
		t.Fatal(err)
	}
	forward(filled, rest[1:])
	if err := filled.Complete(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys := []protocol.Conversation{direct(1, 2), direct(1, 3), direct(1, 4), direct(1, 5)}
	load := func(w *view.Writer) (list []*ledger.Loaded) {
		t.Helper()
		for _, key := range keys {
			list = append(list, &ledger.Loaded{Key: key})
		}
		if err := w.Load(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for _, l := range list { // stamps are Redis' own
			l.Changed = 0
			for i := range l.Members {
				l.Members[i].Changed = 0
			}
			for i := range l.Devices {
				l.Devices[i].Changed = 0
			}
		}
		return list
	}
	want, got := load(whole), load(filled)
	for i := range keys {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("filled:\n%+v\nwant:\n%+v", *got[i], *want[i])
		}
	}
	if want[0].Head != 9 || want[2].Head != 2 || want[3].Head != 0 {
		t.Errorf("the heads are %d, %d, %d", want[0].Head, want[2].Head, want[3].Head)
	}
}

// counted is view.Counts over a Reader.
type counted struct{ *Reader }

func (c counted) Remembered(counts []*view.Count) {
	for _, x := range counts {
		x.Err = errMissing
	}
}

func (c counted) CountsAt(ctx context.Context, counts []*view.Count) error {
	list := make([]*Count, len(counts))
	for i, x := range counts {
		list[i] = (*Count)(x)
	}
	return c.CountsAsOf(ctx, list)
}

// Many callers of Load at once are few loads, and each gets what it asked for.
func TestLoadAtOnce(t *testing.T) {
	n := clickHouseNode(t, 1)
	const conversations = 60
	for peer := uint64(2); peer < 2+conversations; peer++ {
		n.batch(1, 1, peer, peer, repeat(int(peer), "x")...)
	}
	n.flush()
	before := n.store.Vars()["queries"]
	errs := make(chan error, conversations)
	for peer := uint64(2); peer < 2+conversations; peer++ {
		go func() {
			twice := []*ledger.Loaded{{Key: direct(1, peer)}, {Key: direct(1, peer+1000)}, {Key: direct(1, peer)}}
			err := n.reader.Load(t.Context(), twice)
			heads := []uint64{twice[0].Head, twice[1].Head, twice[2].Head}
			if err == nil && !slices.Equal(heads, []uint64{peer, 0, peer}) {
				err = errors.New("wrong heads")
			}
			errs <- cmp.Or(err, twice[0].Err, twice[1].Err, twice[2].Err)
		}()
	}
	for range conversations {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if asked := n.store.Vars()["queries"] - before; asked > conversations {
		t.Errorf("%d queries for %d callers", asked, conversations)
	}
	if p := n.page(logic.Page{Conversation: direct(1, 7)}); p.Head != 7 {
		t.Errorf("the head is %d", p.Head)
	}
}
