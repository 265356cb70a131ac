//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/redis"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	"gannet/internal/rocketmq"
	"gannet/internal/services/servicestest"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// patience bounds every wait.
const patience = time.Minute

// scene is some queues on a real broker, their views in Redis, and who writes them.
type scene struct {
	t        *testing.T
	name     string
	redis    *redis.Client
	stream   *rocketmq.Client
	registry *registry.Memory
	gateways *gateways
	view     *view.View
	writers  []*writer
	log      *log
}

// writer is the owner of a queue.
type writer struct {
	t     *testing.T
	queue chain.Queue
	chain *chain.Writer
	view  *view.Writer
	now   time.Time
	marks []chain.Mark // of what it put, by number
}

// counter has nothing to count: records are put into the view without what is in them.
type counter struct{}

func (counter) Remembered([]*view.Count) {}

func (counter) CountsAt(context.Context, []*view.Count) error { return nil }

// newScene makes so many queues of class chat, taken over and with confirmed views.
func newScene(t *testing.T, queues int, addresses ...string) *scene {
	t.Helper()
	if len(addresses) == 0 {
		addresses = []string{servicestest.Redis(t)}
	}
	return newSceneOn(t, queues, servicestest.RocketMQ(t), patience, addresses...)
}

// newSceneOn is newScene on the broker of this name server; an append waits so long for
// its answer.
func newSceneOn(t *testing.T, queues int, server string, send time.Duration, addresses ...string) *scene {
	t.Helper()
	topic := servicestest.Topic(t, server, queues)
	broker, _ := servicestest.Broker(t, server)
	places := map[chain.Queue]rocketmq.Place{}
	var all []chain.Queue
	for n := range queues {
		q := chain.Queue{Class: chain.Chat, Number: n}
		all = append(all, q)
		places[q] = rocketmq.Place{Topic: topic, Broker: broker, Queue: n}
	}
	s := &scene{t: t, redis: redistest.Client(t, addresses...), name: redistest.Prefix(t, addresses...), registry: registry.NewMemory(), gateways: &gateways{}, log: &log{}}
	var err error
	s.stream, err = rocketmq.Open(t.Context(), rocketmq.Options{NameServers: []string{server}, Instance: rand.Text(), Places: places, Send: send})
	must(t, err)
	t.Cleanup(func() { must(t, s.stream.Close()) })
	s.view, err = view.New(s.redis, view.Options{Name: s.name, Queues: all, Counts: counter{}})
	must(t, err)
	for _, q := range all {
		w := &writer{t: t, queue: q, now: time.UnixMilli(1_600_000_000_000)}
		w.view, err = s.view.Writer(q)
		must(t, err)
		w.chain = s.chain(w, chain.Beginning)
		eventually(t, "a queue is taken over", func() bool { // a broker that has just started may answer too late
			_, err := w.chain.TakeOver(t.Context())
			return err == nil
		})
		must(t, w.view.Forward(t.Context(), w.chain.Last(), nil))
		must(t, w.view.Confirm(t.Context()))
		s.writers = append(s.writers, w)
	}
	return s
}

// chain makes a writer of the chain that begins at a mark.
func (s *scene) chain(w *writer, mark chain.Mark) *chain.Writer {
	return chain.NewWriter(chain.Options{
		Stream: s.stream, Queue: w.queue, Registry: func() uint64 { return 1 }, Now: func() time.Time { return w.now },
		Take: func(*chain.Record) error { return nil },
	}, mark)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node enters a node of transfer in the registry.
func (s *scene) node(id uint64) registry.Registration {
	s.t.Helper()
	r, err := s.registry.Register(context.Background(), registry.Node{ID: id, Role: registry.Transfer})
	must(s.t, err)
	return r
}

// open makes the Queue of a node.
func (s *scene) open(node uint64) *Queue {
	s.t.Helper()
	q, err := New(s.options(node))
	must(s.t, err)
	return q
}

func (s *scene) options(node uint64) Options {
	return Options{
		Name: s.name, Class: chain.Chat, Stream: s.stream, Redis: s.redis, Registry: s.registry, Node: node,
		Gateways: s.gateways, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	}
}

// append appends a record to the queue alone.
func (w *writer) append(record *hop.Record) chain.Mark {
	w.now = time.UnixMilli(int64(record.Time))
	mark, err := w.chain.Append(context.Background(), record.AppendEntries(nil))
	if err != nil {
		w.t.Error(err)
	}
	w.marks = append(w.marks, mark)
	return mark
}

// forward brings the view to a mark.
func (w *writer) forward(mark chain.Mark) {
	if err := w.view.Forward(context.Background(), mark, nil); err != nil {
		w.t.Error(err)
	}
}

func (w *writer) put(record *hop.Record) { w.forward(w.append(record)) }

// message is a record of one message of user 1 to user 2.
func message(queue, n int, body string) *hop.Record {
	m := protocol.Message{
		Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: uint64(n) + 1, Sender: 1, Device: 10, ClientID: uint64(n) + 1,
		Content: protocol.ContentText, Body: []byte(body),
	}
	r := &hop.Record{Queue: queue, Time: 1_700_000_000_000 + uint64(n), Blob: m.AppendFrame(nil)}
	r.Entries = []hop.RecordEntry{{
		Op: hop.OpMessage, Conversation: m.Conversation(), User: 1, Device: 10, Seq: m.Seq, Frame: hop.Span{End: uint32(len(r.Blob))},
	}}
	return r
}

// gateways notes who was hinted.
type gateways struct {
	mu     sync.Mutex
	hinted map[uint64]int
	answer func(epoch uint64) error // nil: well
}

func (g *gateways) Push(_ context.Context, epoch uint64, pushes []*hop.Push, done func([]uint64, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hinted == nil {
		g.hinted = map[uint64]int{}
	}
	var err error
	if g.answer != nil {
		err = g.answer(epoch)
	}
	for _, push := range pushes {
		if push.Everything && err == nil {
			g.hinted[epoch]++
		}
	}
	go done(nil, err)
}

func (g *gateways) times(epoch uint64) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.hinted[epoch]
}

func (g *gateways) answers(how func(epoch uint64) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = how
}

// log is what was logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// taker follows a queue and notes what it got.
type taker struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error

	mu     sync.Mutex
	bodies []string
	marks  []uint64
	dones  []func()
}

// follow follows a queue until the end of the test; each is called with what it takes.
func follow(t *testing.T, q *Queue, queue int, each func(r *hop.Record, done func())) *taker {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &taker{t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		f.ended <- q.Follow(ctx, queue, func(_ context.Context, r *hop.Record, done func()) {
			f.mu.Lock()
			f.bodies = append(f.bodies, bodyOf(r))
			f.marks = append(f.marks, r.Mark)
			f.dones = append(f.dones, done)
			f.mu.Unlock()
			if each != nil {
				each(r, done)
			}
		})
	}()
	t.Cleanup(func() { f.cancel() })
	return f
}

// doneAtOnce is what most do with a record.
func doneAtOnce(_ *hop.Record, done func()) { done() }

func bodyOf(r *hop.Record) string {
	var m protocol.Message
	if len(r.Entries) == 0 {
		return "none: " + string(r.Blob)
	}
	f, _, err := protocol.Split(r.Bytes(0), protocol.MaxFrame)
	if err != nil || m.Decode(f.Payload) != nil {
		return "no message"
	}
	return string(m.Body)
}

func (f *taker) got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.bodies...)
}

// end ends it and gives the error of Follow.
func (f *taker) end() error {
	f.t.Helper()
	f.cancel()
	return f.over()
}

// over waits for the end of Follow.
func (f *taker) over() error {
	f.t.Helper()
	select {
	case err := <-f.ended:
		return err
	case <-time.After(patience):
		f.t.Fatal("Follow does not end")
		return nil
	}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
