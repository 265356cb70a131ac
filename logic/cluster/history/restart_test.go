//go:build cluster

package history

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

const clickHouse = servicestest.PartClickHouse

// server starts a ClickHouse for this test alone, and waits until it has run for so long
// that its next run is another one.
func server(t *testing.T) (*servicestest.Services, Options) {
	t.Helper()
	services := servicestest.Own(t, "--only="+clickHouse)
	o := optionsAt(t, services.Address(t, "GANNET_TEST_CLICKHOUSE"))
	t.Cleanup(func() { services.Start(t, clickHouse) }) // for the one that removes the database
	return services, o
}

// aged waits until a run that begins from now on is another one.
func aged(t *testing.T, s *Store) {
	t.Helper()
	first, err := s.running(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has run for a while", func() bool {
		var now int64
		if err := s.conn.QueryRow(t.Context(), "SELECT toInt64(toUnixTimestamp(now()))").Scan(&now); err != nil {
			t.Fatal(err)
		}
		return run(now) > first+2*jitter
	})
}

// told is what Behind was told.
type told struct {
	mu   sync.Mutex
	list []chain.Mark
}

func (b *told) behind(_ chain.Queue, m chain.Mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list = append(b.list, m)
}

// After a restart of the server what it may not have synced is fed again: from the mark
// that was certain before, and then the new run is as good as the one before.
func TestRestart(t *testing.T) {
	services, o := server(t)
	o.Margin = time.Hour
	store := openStore(t, o)
	var told told
	n := newNode(t, store, 1, FeederOptions{Every: manual, Behind: told.behind}, nil)
	name := n.queues[0].name
	chat(n)
	n.flush()
	want, last := all(t, store, 1), n.queues[0].records[len(n.queues[0].records)-1].Mark
	if mark, err := store.Mark(t.Context(), name); err != nil || mark != last {
		t.Fatalf("the mark is %v, %v", mark, err)
	}
	aged(t, store)
	services.Kill(t, clickHouse, "KILL")
	services.Start(t, clickHouse)

	eventually(t, "the feeder sees the new run", func() bool { return n.feeder.Flush(t.Context()) == nil })
	if len(told.list) != 1 || told.list[0] != chain.Beginning || store.Vars()["restarts"] != 1 {
		t.Fatalf("told %v", told.list)
	}
	// Whoever takes the queue over goes back as far.
	if mark, err := store.Mark(t.Context(), name); err != nil || mark != chain.Beginning {
		t.Fatalf("the mark is %v, %v", mark, err)
	}
	n.batch(1, 1, 2, 5, "nine") // does not follow
	if at, _ := n.feeder.Taken(name); at != chain.Beginning {
		t.Fatalf("a record is taken behind %v that does not follow", at)
	}
	n.catchUp()
	n.flush()
	if mark, err := store.Mark(t.Context(), name); err != nil || mark.Offset != last.Offset+1 {
		t.Fatalf("the mark is %v, %v", mark, err)
	}
	if got := all(t, store, 1); len(got) != len(want) {
		t.Fatalf("%d conversations, want %d", len(got), len(want))
	}
	n.want(logic.Page{Conversation: direct(1, 2)}, 1, 9, 9)
	n.flush()
	if len(told.list) != 1 {
		t.Errorf("told %v", told.list)
	}
}

// What lies behind the margin is not fed again.
func TestRestartBehindTheMargin(t *testing.T) {
	services, o := server(t)
	o.Margin = time.Nanosecond
	store := openStore(t, o)
	var told told
	n := newNode(t, store, 1, FeederOptions{Every: manual, Behind: told.behind}, nil)
	n.send(1, 1, 2, 1, "one", "two")
	n.flush()
	n.send(1, 1, 2, 3, "three")
	n.flush() // its mark says that what the last flush inserted is certain
	certain := n.queues[0].records[1].Mark
	aged(t, store)
	services.Kill(t, clickHouse, "KILL")
	services.Start(t, clickHouse)
	eventually(t, "the feeder sees the new run", func() bool { return n.feeder.Flush(t.Context()) == nil })
	if len(told.list) != 1 || told.list[0] != certain {
		t.Fatalf("told %v, want %v", told.list, certain)
	}
	n.catchUp()
	n.flush()
	n.want(logic.Page{Conversation: direct(1, 2)}, 1, 3, 3)
}

// A server that comes back empty gets its schema and everything that the queue still has.
func TestEmptied(t *testing.T) {
	services, o := server(t)
	store := openStore(t, o)
	var told told
	n := newNode(t, store, 2, FeederOptions{Every: manual, Behind: told.behind}, nil)
	chat(n)
	n.flush()
	want := all(t, store, 2)
	aged(t, store)
	services.Kill(t, clickHouse, "KILL")
	services.StartEmpty(t, clickHouse)
	if p := n.page(logic.Page{Conversation: direct(1, 2)}); !errors.Is(p.Err, logic.ErrUnavailable) {
		t.Errorf("an empty server gives %d to %d, %v", p.First, p.Last, p.Err)
	}
	eventually(t, "the feeder sees the new run", func() bool { return n.feeder.Flush(t.Context()) == nil })
	if len(told.list) != 2 || told.list[0] != chain.Beginning || told.list[1] != chain.Beginning {
		t.Fatalf("told %v", told.list)
	}
	if p := n.page(logic.Page{Conversation: direct(1, 2)}); !errors.Is(p.Err, logic.ErrUnavailable) {
		t.Errorf("an empty server gives %d to %d, %v", p.First, p.Last, p.Err)
	}
	n.catchUp()
	n.flush()
	same(t, all(t, store, 2), want)
	n.want(logic.Page{Conversation: direct(1, 2)}, 1, 8, 8)
}

// One that somebody empties while it runs, so that another node makes its tables again at once, is
// fed everything again too: a mark that is not there any more is noticed.
func TestEmptiedWhileItRuns(t *testing.T) {
	store := ownClickHouse(t)
	var told told
	n := newNode(t, store, 2, FeederOptions{Every: manual, Behind: told.behind}, nil)
	chat(n)
	n.flush()
	want := all(t, store, 2)
	if err := n.feeder.Flush(t.Context()); err != nil || len(told.list) != 0 {
		t.Fatalf("told %v of a server that is well, %v", told.list, err)
	}
	for _, table := range []string{"messages", "senders", "conversations", "cursors", "devices", "marks"} {
		if err := store.conn.Exec(t.Context(), "TRUNCATE TABLE "+table); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.feeder.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(told.list) != 2 || told.list[0] != chain.Beginning || told.list[1] != chain.Beginning {
		t.Fatalf("told %v", told.list)
	}
	n.catchUp()
	n.flush()
	same(t, all(t, store, 2), want)
}

// Where others have fed an emptied one again by then, a node feeds each of its queues from the mark
// that is there, if that is older than what it had inserted, and no other queue.
func TestEmptiedWhileItRunsInPart(t *testing.T) {
	const queues = 3
	store := ownClickHouse(t)
	told := make(map[chain.Queue]chain.Mark)
	n := newNode(t, store, queues, FeederOptions{Every: manual, Behind: func(q chain.Queue, m chain.Mark) { told[q] = m }}, nil)
	peers := make(map[*ownQueue]uint64)
	for peer := uint64(2); len(peers) < queues; peer++ {
		if q := n.queueOf(direct(1, peer)); peers[q] == 0 {
			peers[q] = peer
			n.send(1, 1, peer, 1, "one", "two", "three")
		}
	}
	n.flush()
	want := all(t, store, queues)
	for _, table := range []string{"messages", "senders", "conversations", "cursors", "devices", "marks"} {
		must(t, store.conn.Exec(t.Context(), "TRUNCATE TABLE "+table))
	}
	again := []int{3, 2, 0} // records of each queue
	behind := make(map[chain.Queue]chain.Mark)
	for i, q := range n.queues {
		at := chain.Beginning
		for offset := range again[i] {
			take(t, store, q, offset)
			at = q.records[offset].Mark
		}
		if again[i] > 0 {
			must(t, store.SetMark(t.Context(), q.name, at, at))
		}
		if again[i] < len(q.records) {
			behind[q.name] = at
		}
	}
	must(t, n.feeder.Flush(t.Context()))
	if !maps.Equal(told, behind) {
		t.Fatalf("told %v, want %v", told, behind)
	}
	for _, q := range n.queues {
		at, ok := behind[q.name]
		if !ok {
			at = q.records[len(q.records)-1].Mark
		}
		if taken, _ := n.feeder.Taken(q.name); taken != at {
			t.Errorf("of %v the feeder has %v, want %v", q.name, taken, at)
		}
	}
	n.catchUp()
	n.flush()
	same(t, all(t, store, queues), want)
}

// While the server is away everything says so, memory is bounded, and what the feeder had
// no room for is fed from the queue when the server is back.
func TestAway(t *testing.T) {
	services, o := server(t)
	o.Timeout = 20 * time.Second // for a machine that is busy
	store := openStore(t, o)
	n := newNode(t, store, 1, FeederOptions{Every: 50 * time.Millisecond, Room: 20_000}, nil)
	hurried := openStore(t, o)
	hurried.options.Timeout = 2 * time.Second
	name := n.queues[0].name
	chat(n)
	n.flush()
	services.Kill(t, clickHouse, "KILL")

	c := direct(1, 2)
	unavailable := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, logic.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	everything := func() {
		t.Helper()
		defer func(r *Reader) { n.reader = r }(n.reader)
		n.reader = NewReader(hurried, n)
		unavailable("a page", n.page(logic.Page{Conversation: c}).Err)
		count := &Count{Conversation: c, User: 1, Seq: 3}
		unavailable("counts", errors.Join(n.reader.CountsAsOf(t.Context(), []*Count{count}), count.Err))
		walk := &ledger.Walk{Key: c, User: 1, Device: 1, From: 3, Visit: func(_, _, _, _ uint64) bool { return true }}
		unavailable("a walk", errors.Join(n.reader.Walk(t.Context(), []*ledger.Walk{walk}), walk.Err))
		load := &ledger.Loaded{Key: c}
		unavailable("a load", errors.Join(n.reader.Load(t.Context(), []*ledger.Loaded{load}), load.Err))
		_, err := hurried.Mark(t.Context(), name)
		unavailable("the mark", err)
	}
	everything()
	unavailable("a rebuilding", store.Rebuild(t.Context(), Rebuild{Queues: 1, Kinds: []protocol.Kind{protocol.KindDirect}}, func([]Whole, Progress) error { return nil }))
	unavailable("a migration", store.Migrate(t.Context()))
	_, err := store.Retain(t.Context(), 0, time.Now())
	unavailable("retention", err)
	if hurried.Vars()["failed.query"] == 0 || store.Vars()["failed.query"] == 0 {
		t.Error("nothing is counted")
	}

	full := store.Vars()["refused.full"]
	const more = 40
	for i := range uint64(more) {
		n.send(1, 1, 2, 100+i, strings.Repeat("x", 1000))
	}
	if waiting := n.feeder.Waiting(); waiting > 22_000 || waiting < 15_000 {
		t.Errorf("%d bytes wait", waiting)
	}
	if store.Vars()["refused.full"] == full {
		t.Error("nothing was refused")
	}
	services.Start(t, clickHouse)
	eventually(t, "everything is there", func() bool {
		n.feedMore()
		at, _ := n.feeder.Inserted(name)
		return at == n.queues[0].records[len(n.queues[0].records)-1].Mark
	})
	n.forget()
	n.want(logic.Page{Conversation: c}, 1, 8+more, 8+more)

	// A server that stands still is away too.
	services.Kill(t, clickHouse, "STOP")
	everything()
	services.Kill(t, clickHouse, "CONT")
	eventually(t, "the server answers again", func() bool { return n.page(logic.Page{Conversation: c}).Err == nil })
	if err := n.feeder.Stop(t.Context()); err != nil {
		t.Errorf("the feeder cannot stop: %v", err)
	}
}
