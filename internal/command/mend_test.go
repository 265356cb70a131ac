//go:build cluster

package command

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
	"gannet/internal/cluster"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/logic/cluster/history"
	"gannet/logic/cluster/view"
	transfercluster "gannet/transfer/cluster"
)

// place is where the keys of a cluster of a test are.
type place struct {
	*live
	name string
}

// mended gives what mends the chat queues 0 and 1 of a cluster of this test, on a broker in
// memory, and the writers of their views. ClickHouse does not answer.
func mended(t *testing.T) (m *mending, broker *chaintest.Memory, writers []*view.Writer, said *strings.Builder, at place) {
	t.Helper()
	f := ourCluster(t)
	l, err := f.openLive(t.Context(), slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	queues := []chain.Queue{{Class: chain.Chat, Number: 0}, {Class: chain.Chat, Number: 1}}
	v, err := view.New(l.client, view.Options{Name: f.Cluster, Queues: queues, Counts: &archive{}})
	if err != nil {
		t.Fatal(err)
	}
	gateways := rpc.NewGateways(registry.Epochs{Registry: l.registry}, slog.Default())
	t.Cleanup(gateways.Close)
	broker, said = chaintest.NewMemory(), &strings.Builder{}
	transfer, err := transfercluster.New(transfercluster.Options{
		Name: f.Cluster, Class: chain.Chat, Stream: broker, Redis: l.client, Registry: l.registry, Node: 1, Gateways: gateways,
	})
	if err != nil {
		t.Fatal(err)
	}
	m = &mending{
		stream: broker, view: v, transfer: map[chain.Class]*transfercluster.Queue{chain.Chat: transfer}, registry: l.registry,
		away: errNobody, progress: &progress{}, out: said,
	}
	if err := transfer.Begin(t.Context(), 0, 1); err != nil {
		t.Fatal(err)
	}
	for _, queue := range queues {
		w, err := v.Writer(queue)
		if err != nil {
			t.Fatal(err)
		}
		c := chain.NewWriter(chain.Options{Stream: broker, Queue: queue, Registry: func() uint64 { return 1 }, Take: func(*chain.Record) error { return nil }}, chain.Beginning)
		if _, err := c.TakeOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Forward(t.Context(), c.Last(), nil); err != nil {
			t.Fatal(err)
		}
		for range 9 {
			if _, err := c.Append(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		writers = append(writers, w)
	}
	return m, broker, writers, said, place{l, f.Cluster}
}

// state gives what Redis says of a view.
func state(t *testing.T, w *view.Writer) view.State {
	t.Helper()
	s, err := w.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A view and a mark of transfer that lie behind what the broker keeps are removed; those of
// another queue are left alone, and so are all when it is run again.
func TestMendBehindRetention(t *testing.T) {
	m, broker, writers, said, _ := mended(t)
	broker.Age(chain.Queue{Class: chain.Chat, Number: 0}, 5)
	well := state(t, writers[1])
	for run := range 2 {
		for number := range 2 {
			if err := m.mend(t.Context(), chain.Queue{Class: chain.Chat, Number: number}); err != nil {
				t.Fatal(err)
			}
		}
		if m.mended != 2 || len(m.losses) != 0 {
			t.Errorf("run %d: it has mended %d and found %d losses", run, m.mended, len(m.losses))
		}
	}
	if s := state(t, writers[0]); s.Mark != chain.Beginning {
		t.Errorf("the view that was behind is at %v", s.Mark)
	}
	if s := state(t, writers[1]); s != well || well.Mark == chain.Beginning {
		t.Errorf("the view that was well is %+v, and was %+v", s, well)
	}
	for number, want := range []bool{false, true} {
		if _, found, err := m.transfer[chain.Chat].Mark(t.Context(), number); err != nil || found != want {
			t.Errorf("queue %d has a mark of transfer: %v, %v", number, found, err)
		}
	}
	for _, want := range []string{"chat queue 0: transfer's mark was behind", "chat queue 0: its view was behind what the broker keeps, which begins at offset 5"} {
		if strings.Count(said.String(), want) != 1 {
			t.Errorf("it says %q", said)
		}
	}
	if strings.Contains(said.String(), "queue 1") {
		t.Errorf("of a queue that is well it says %q", said)
	}
}

// A view whose state in Redis is damaged is removed where it can be made anew, and a damaged mark
// of transfer is forgotten.
func TestMendDamagedState(t *testing.T) {
	m, broker, writers, said, at := mended(t)
	queue, ctx := chain.Queue{Class: chain.Chat}, t.Context()
	key := "{" + at.name + ".chat.0}"
	mend := func() error { m.mended = 0; said.Reset(); return m.mend(ctx, queue) }
	damages := map[string]func() error{
		"a mark":  func() error { return at.client.HSet(ctx, key+"v", "a", "garbage").Err() },
		"a stamp": func() error { return at.client.HSet(ctx, key+"v", "a", "", "s", "garbage").Err() },
		"another type": func() error {
			return errors.Join(at.client.Del(ctx, key+"v").Err(), at.client.Set(ctx, key+"v", "garbage", 0).Err())
		},
	}
	ours, away := ownHistory(t), m.away
	for what, damage := range damages {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		m.history, m.away = nil, away
		if err := mend(); err == nil || !strings.Contains(err.Error(), "ClickHouse") || m.mended != 0 {
			t.Errorf("%s: without ClickHouse it says %v", what, err)
		}
		m.history, m.away = ours, nil
		if err := mend(); err != nil || m.mended != 1 || !strings.Contains(said.String(), "was damaged") {
			t.Errorf("%s: it says %q, %v", what, said, err)
		}
		if s := state(t, writers[0]); s.Mark != chain.Beginning {
			t.Errorf("%s: the view is at %v", what, s.Mark)
		}
	}
	if err := at.client.Set(ctx, key+"t", "garbage", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := mend(); err != nil || m.mended != 1 || !strings.Contains(said.String(), "transfer's mark was damaged") {
		t.Errorf("of transfer's mark it says %q, %v", said, err)
	}
	if _, found, err := m.transfer[chain.Chat].Mark(ctx, 0); err != nil || found {
		t.Errorf("transfer has a mark: %v, %v", found, err)
	}
	if err := at.client.HSet(ctx, key+"v", "a", "garbage").Err(); err != nil {
		t.Fatal(err)
	}
	broker.Age(queue, 5)
	if err := mend(); err == nil || !strings.Contains(err.Error(), "nobody can make it anew") || m.mended != 0 {
		t.Errorf("where nobody has what lies between it says %v", err)
	}
}

// A view is made anew on demand, but not where the broker lost what it says was given out.
func TestMendRefill(t *testing.T) {
	m, broker, writers, said, _ := mended(t)
	m.history, m.away = ownHistory(t), nil
	plan, err := cluster.New("refill", 2, []string{"broker"})
	if err != nil {
		t.Fatal(err)
	}
	c := &mendCmd{Refill: []string{"chat.1", "chat.7"}}
	if _, err := c.refills(plan); err == nil || !strings.Contains(err.Error(), "chat.7") || !strings.Contains(err.Error(), "chat.0, chat.1, system.0") {
		t.Errorf("of a queue that is not there it says %v", err)
	}
	c.Refill = c.Refill[:1]
	if m.refill, err = c.refills(plan); err != nil {
		t.Fatal(err)
	}
	was := state(t, writers[0])
	for number := range 2 {
		if err := m.mend(t.Context(), chain.Queue{Class: chain.Chat, Number: number}); err != nil {
			t.Fatal(err)
		}
	}
	if s := state(t, writers[0]); s != was {
		t.Errorf("one that was not named is at %v", s.Mark)
	}
	if s := state(t, writers[1]); s.Mark != chain.Beginning || m.mended != 1 || !strings.Contains(said.String(), "chat queue 1: its view is made anew; 1 keys were removed") {
		t.Errorf("one that was named is at %v, and it says %q", s.Mark, said)
	}
	if m.refill, err = (&mendCmd{Refill: []string{"chat.0"}}).refills(plan); err != nil {
		t.Fatal(err)
	}
	broker.Cut(chain.Queue{Class: chain.Chat}, 0)
	if err := m.mend(t.Context(), chain.Queue{Class: chain.Chat}); err == nil || !strings.Contains(err.Error(), "has lost records") || state(t, writers[0]) != was {
		t.Errorf("behind a loss it says %v", err)
	}
}

// A queue that is well, with void records and none, has lost nothing, and one that has is
// named and left as it is.
func TestMendNamesALoss(t *testing.T) {
	m, broker, writers, said, _ := mended(t)
	lost := chain.Queue{Class: chain.Chat, Number: 1}
	m.mended = 0
	broker.Put(chain.Queue{Class: chain.Chat}, []byte("no record"))
	broker.Cut(lost, 0)
	was := state(t, writers[1])
	for number := range 2 {
		if err := m.mend(t.Context(), chain.Queue{Class: chain.Chat, Number: number}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.giveUp(t.Context()); err != errGivenUp {
		t.Errorf("it ends with %v", err)
	}
	if len(m.losses) != 1 || m.losses[0].queue != lost || m.mended != 0 || state(t, writers[1]) != was || len(broker.All(lost)) != 0 {
		t.Errorf("it found %d losses, mended %d, and the view is %+v", len(m.losses), m.mended, state(t, writers[1]))
	}
	if got := said.String(); !strings.Contains(got, "chat queue 1: RocketMQ has lost what it had acknowledged: it has records before offset 0, and Redis has those up to 0") || strings.Contains(got, "queue 0:") {
		t.Errorf("it says %q", got)
	}
}

// A view that is older than what was given up is emptied, whether its own record is there or
// lost; one that has come to the end of the loss is left alone.
func TestMendBehindALoss(t *testing.T) {
	m, broker, writers, _, _ := mended(t)
	for number, from := range []int64{5, 0} {
		queue := chain.Queue{Class: chain.Chat, Number: number}
		broker.Cut(queue, from)
		g := chain.NewGivenUp(queue, 1, time.Now(), 20)
		if err := g.Write(t.Context(), broker, func(int64) {}); err != nil {
			t.Fatal(err)
		}
		if err := m.mend(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		if s := state(t, writers[number]); s.Mark != chain.Beginning {
			t.Errorf("%v: the view is at %v", queue, s.Mark)
		}
		writers[number].Believe(g.Mark(), 0)
		if err := writers[number].Adopt(t.Context(), chain.Beginning, false); err != nil {
			t.Fatal(err)
		}
		if err := m.mend(t.Context(), queue); err != nil {
			t.Fatal(err)
		}
		if s := state(t, writers[number]); s.Mark != g.Mark() {
			t.Errorf("%v: a view at the end of the loss is at %v afterwards", queue, s.Mark)
		}
	}
	if m.mended != 2 || len(m.losses) != 0 {
		t.Errorf("it mended %d, and found %d losses", m.mended, len(m.losses))
	}
}

// A view that is older than what was given up is emptied also where transfer's mark, or that of
// ClickHouse, is older still: from there nobody leads to the view, and that is no loss.
func TestMendBehindALossWithOlderMarks(t *testing.T) {
	m, broker, writers, _, _ := mended(t)
	m.history, m.away = ownHistory(t), nil
	queue := chain.Queue{Class: chain.Chat}
	var marks []chain.Mark
	err := chain.NewReader(broker, queue, chain.Beginning).ReadTo(t.Context(), 10, func(r *chain.Record) error {
		marks = append(marks, r.Mark)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writers[0].Forward(t.Context(), marks[7], nil), m.history.SetMark(t.Context(), queue, marks[6], marks[2])); err != nil {
		t.Fatal(err)
	}
	broker.Cut(queue, 5)
	if err := chain.NewGivenUp(queue, 1, time.Now(), 20).Write(t.Context(), broker, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := m.mend(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	if s := state(t, writers[0]); s.Mark != chain.Beginning || len(m.losses) != 0 || m.mended != 1 {
		t.Errorf("the view is at %v, %d losses were found, and %d mended", s.Mark, len(m.losses), m.mended)
	}
}

// What transfer has had and nobody else knows of is no loss that can be given up.
func TestMendRefusesWhatNobodyKnows(t *testing.T) {
	m, broker, writers, _, _ := mended(t)
	l := &loss{
		queue: chain.Queue{Class: chain.Chat}, writer: writers[0], transfer: m.transfer[chain.Chat], state: state(t, writers[0]),
		pushed: chain.Mark{Offset: 9, Writer: 1, Number: 1}, most: chain.Beginning, certain: chain.Beginning,
	}
	if err := m.fence(t.Context(), l); err == nil || !strings.Contains(err.Error(), "transfer has had the queue up to offset 9") {
		t.Errorf("it says %v", err)
	}
	l.pushed, l.state.Incomplete = chain.Beginning, true
	if err := m.fence(t.Context(), l); err == nil || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("of a view that is not whole it says %v", err)
	}
	if s := state(t, writers[0]); s.Mark.Given() || len(broker.All(l.queue)) != 10 {
		t.Errorf("the view is at %v", s.Mark)
	}
}

// ownHistory gives a history of this test alone.
func ownHistory(t *testing.T) *history.Store {
	t.Helper()
	database := "test_" + strings.ToLower(rand.Text())
	store, err := history.Open(history.Options{Addresses: []string{servicestest.ClickHouse(t)}, Database: database})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{servicestest.ClickHouse(t)}})
		if err == nil {
			err = errors.Join(conn.Exec(context.Background(), "DROP DATABASE "+database), conn.Close())
		}
		if err = errors.Join(err, store.Close()); err != nil {
			t.Error(err)
		}
	})
	return store
}

// agree checks that readers from marks of a queue all come to one.
func agree(t *testing.T, broker *chaintest.Memory, queue chain.Queue, to chain.Mark, from ...chain.Mark) {
	t.Helper()
	for _, mark := range from {
		r := chain.NewReader(broker, queue, mark)
		if err := r.ReadTo(t.Context(), int64(len(broker.All(queue))), func(*chain.Record) error { return nil }); err != nil || r.Last() != to {
			t.Errorf("from %v a reader comes to %v, %v; want %v", mark, r.Last(), err, to)
		}
	}
}

// One that was interrupted, when the view was set or while records were written, is done by the
// next one.
func TestMendInterrupted(t *testing.T) {
	m, broker, writers, _, _ := mended(t)
	queue := chain.Queue{Class: chain.Chat, Number: 0}
	m.history, m.away, m.accept = ownHistory(t), nil, true
	lost := state(t, writers[0]).Mark
	broker.Cut(queue, 0)
	if err := m.mend(t.Context(), queue); err != nil || len(m.losses) != 1 {
		t.Fatal(len(m.losses), err)
	}
	if err := m.fenceSoon(t.Context(), m.losses[0]); err != nil {
		t.Fatal(err)
	}
	first := state(t, writers[0]).Mark
	for range 3 {
		h := chain.Head{Kind: chain.Loss, Queue: queue, Prev: chain.Beginning, Writer: first.Writer, Number: 1, Through: first.Offset}
		broker.Put(queue, h.Append(nil, nil))
	}
	m.losses = nil
	if err := m.mend(t.Context(), queue); err != nil || len(m.losses) != 1 {
		t.Fatalf("run again it finds %d losses, %v", len(m.losses), err)
	}
	if err := m.giveUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := state(t, writers[0])
	if !s.Mark.Given() || s.Mark.Offset <= first.Offset || s.Incomplete {
		t.Errorf("the view is %+v", s)
	}
	agree(t, broker, queue, s.Mark, chain.Beginning, lost, first, s.Mark)
}
