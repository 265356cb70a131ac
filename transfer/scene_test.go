package transfer_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// queue is a transfer.Queue of several queues whose records the test hands over one
// by one, and which counts what is done. Within a synctest bubble, synctest.Wait
// waits until a record has been routed.
type queue struct {
	feeds []chan *hop.Record
	mark  uint64

	mu     sync.Mutex
	done   map[uint64]int // by mark
	onDone func(mark uint64)
}

func newQueue(queues int) *queue {
	q := &queue{done: make(map[uint64]int)}
	for range queues {
		q.feeds = append(q.feeds, make(chan *hop.Record))
	}
	return q
}

func (q *queue) Follow(ctx context.Context, n int, take func(context.Context, *hop.Record, func())) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-q.feeds[n]:
			take(ctx, r, func() { q.isDone(r.Mark) })
		}
	}
}

func (q *queue) isDone(mark uint64) {
	q.mu.Lock()
	q.done[mark]++
	on := q.onDone
	q.mu.Unlock()
	if on != nil {
		on(mark)
	}
}

// put hands a record of these entries to the follower of its queue, and gives its
// mark.
func (q *queue) put(n int, entries ...entry) (mark uint64) {
	q.mark++
	r := record(n, q.mark, entries...)
	q.feeds[n] <- r
	return r.Mark
}

// times says how often a record was done.
func (q *queue) times(mark uint64) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.done[mark]
}

// allDone checks that every record so far was done once.
func (q *queue) allDone(t *testing.T) {
	t.Helper()
	for mark := uint64(1); mark <= q.mark; mark++ {
		if n := q.times(mark); n != 1 {
			t.Errorf("record %d was done %d times", mark, n)
		}
	}
}

// entry is an entry of a record with its frame.
type entry struct {
	hop.RecordEntry
	frame []byte
}

func to(user uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: user} }

func message(from, device, peer uint64, body string) entry {
	m := protocol.Message{
		Target: to(peer), Seq: 1, Sender: from, Device: device, ClientID: 1, Content: protocol.ContentText, Body: []byte(body),
	}
	return entry{hop.RecordEntry{Op: hop.OpMessage, Conversation: m.Conversation(), User: from, Device: device, Seq: 1}, m.AppendFrame(nil)}
}

func receipt(user, device, peer uint64) entry {
	m := protocol.Receipt{Target: to(peer), Delivered: 1, User: user, Device: device}
	return entry{hop.RecordEntry{Op: hop.OpReceipt, Conversation: m.Conversation(), User: user, Device: device, Seq: 1}, m.AppendFrame(nil)}
}

// hole is for all devices of user.
func hole(user, peer uint64) entry {
	m := protocol.Range{Target: to(peer), First: 2, Last: 9}
	return entry{hop.RecordEntry{Op: hop.OpHole, Conversation: to(peer).Conversation(user), User: user, Seq: 9}, m.AppendHole(nil)}
}

func record(n int, mark uint64, entries ...entry) *hop.Record {
	r := &hop.Record{Queue: n, Mark: mark, Time: 1}
	for _, e := range entries {
		start := uint32(len(r.Blob))
		r.Blob = append(r.Blob, e.frame...)
		e.Frame = hop.Span{Start: start, End: uint32(len(r.Blob))}
		r.Entries = append(r.Entries, e.RecordEntry)
	}
	return r
}

// name is the body of a PUSH, "receipt" for a RECEIPT.
func name(frame []byte) string {
	f, n, err := protocol.Split(frame, protocol.MaxFrame)
	var m protocol.Message
	var r protocol.Range
	switch {
	case err != nil || n != len(frame):
		return "no frame"
	case f.Type == protocol.TypePush && m.Decode(f.Payload) == nil:
		return string(m.Body)
	case f.Type == protocol.TypeReceipt:
		return "receipt"
	case f.Type == protocol.TypeHole && r.Decode(f.Payload) == nil:
		return fmt.Sprintf("no message with %d up to %d", r.Target.ID, r.Last)
	}
	return "something else"
}

// attempt is a call on its way, as the gateway sees it.
type attempt struct {
	ctx    context.Context
	epoch  uint64
	pushes []*hop.Push
	done   func(absent []uint64, err error)
	g      *gateways
}

// take puts the frames where their connections find them.
func (a *attempt) take() {
	a.g.mu.Lock()
	defer a.g.mu.Unlock()
	for _, push := range a.pushes {
		if err := push.Check(); err != nil {
			a.g.broken = append(a.g.broken, err)
			return
		}
		if push.Everything {
			a.g.log[a.epoch] = append(a.g.log[a.epoch], "everything")
		}
		for i := range push.Len() {
			a.g.log[a.epoch] = append(a.g.log[a.epoch], name(push.Bytes(i)))
			for _, conn := range push.To(i) {
				at := hop.Address{Gateway: a.epoch, Conn: conn}
				a.g.got[at] = append(a.g.got[at], name(push.Bytes(i)))
			}
		}
	}
}

// has says whether the call has a frame.
func (a *attempt) has(frame string) bool {
	for _, push := range a.pushes {
		for i := range push.Len() {
			if name(push.Bytes(i)) == frame {
				return true
			}
		}
	}
	return false
}

// ok takes the pushes and says so.
func (a *attempt) ok() {
	a.take()
	a.done(nil, nil)
}

// gateways remembers what each connection was pushed; each gateway behaves as the
// test says.
type gateways struct {
	mu       sync.Mutex
	behave   map[uint64]func(*attempt) // by epoch; nil: attempt.ok
	attempts map[uint64]int
	got      map[hop.Address][]string
	log      map[uint64][]string // what each gateway got, in order
	broken   []error
}

func (g *gateways) Push(ctx context.Context, epoch uint64, pushes []*hop.Push, done func(absent []uint64, err error)) {
	g.mu.Lock()
	g.attempts[epoch]++
	behave := g.behave[epoch]
	g.mu.Unlock()
	a := &attempt{ctx: ctx, epoch: epoch, pushes: pushes, done: done, g: g}
	if behave == nil {
		a.ok()
		return
	}
	behave(a)
}

// is has a gateway behave in some way from its next push on; nil is well.
func (g *gateways) is(epoch uint64, behave func(*attempt)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.behave[epoch] = behave
}

func (g *gateways) tries(epoch uint64) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.attempts[epoch]
}

func (g *gateways) pushed(epoch uint64) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.log[epoch])
}

// lines counts log lines.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) with(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// scene is a transfer server with its neighbours.
type scene struct {
	t        *testing.T
	queue    *queue
	devices  *directory.Memory
	gateways *gateways
	lines    *lines
	server   *transfer.Server
}

// newScene starts a server of so many queues; change may exchange ports.
func newScene(t *testing.T, queues int, change func(*transfer.Config)) *scene {
	s := &scene{
		t: t, queue: newQueue(queues), devices: directory.NewMemory(), lines: &lines{},
		gateways: &gateways{
			behave: make(map[uint64]func(*attempt)), attempts: make(map[uint64]int),
			got: make(map[hop.Address][]string), log: make(map[uint64][]string),
		},
	}
	c := transfer.Config{Queue: s.queue, Directory: s.devices, Gateways: s.gateways, Log: slog.New(slog.NewTextHandler(s.lines, nil))}
	for i := range queues {
		c.Queues = append(c.Queues, i)
	}
	if change != nil {
		change(&c)
	}
	s.server = transfer.Start(c)
	t.Cleanup(s.server.Stop)
	return s
}

// device connects a device.
func (s *scene) device(user, device, gateway, conn uint64) {
	s.t.Helper()
	numbers, err := s.devices.Draw(s.t.Context(), []uint64{user}, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	bind := directory.Bind{User: user, Device: device, Number: numbers[0], At: hop.Address{Gateway: gateway, Conn: conn}}
	if _, err := s.devices.Bind(s.t.Context(), []directory.Bind{bind}, nil); err != nil {
		s.t.Fatal(err)
	}
}

// got checks what a connection was pushed.
func (s *scene) got(gateway, conn uint64, want ...string) {
	s.t.Helper()
	s.gateways.mu.Lock()
	defer s.gateways.mu.Unlock()
	if got := s.gateways.got[hop.Address{Gateway: gateway, Conn: conn}]; !slices.Equal(got, want) {
		s.t.Errorf("connection %d of gateway %d got %d pushes, want %d: %.200q, want %.200q", conn, gateway, len(got), len(want), fmt.Sprint(got), fmt.Sprint(want))
	}
	for _, err := range s.gateways.broken {
		s.t.Errorf("a push is none: %v", err)
	}
}

// stat checks a counter.
func (s *scene) stat(name string, want uint64) {
	s.t.Helper()
	got, ok := s.server.Stats()[name]
	if !ok || got != want {
		s.t.Errorf("%s is %d (there: %v), want %d", name, got, ok, want)
	}
}
