package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gannet/gateway"
	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
	"gannet/transfer"
)

// patience bounds every wait of a test; nothing here takes a fraction of it.
const patience = 30 * time.Second

var (
	_ gateway.Logic     = (*Logics)(nil)
	_ gateway.Binder    = (*Logics)(nil)
	_ transfer.Gateways = (*Gateways)(nil)
	_ logic.Gateways    = (*Gateways)(nil)
	_ logic.Receipts    = (*Receipts)(nil)
	_ Logic             = (*logic.Service)(nil)
	_ Gateway           = (*gateway.Gateway)(nil)
	_ Router            = (*transfer.Server)(nil)
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// One a process, started by the first client though no balancer is used.
		goleak.IgnoreTopFunction("github.com/cloudwego/kitex/pkg/loadbalance/lbcache.(*BalancerFactory).watcher"),
	)
}

// registry is what a test says of who is where.
type registry struct {
	mu      sync.Mutex
	version uint64
	of      map[int]Node // nodes by queue
	at      map[uint64]string
	newest  uint64 // that Newer was told
	away    *Node  // who has the queues elsewhere; nil: this node has them
}

func newRegistry() *registry {
	return &registry{version: 1, of: map[int]Node{}, at: map[uint64]string{}}
}

func (r *registry) Of(queue int) (Node, uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.of[queue]
	return n, r.version, ok
}

func (r *registry) Newer(version uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = max(r.newest, version)
}

func (r *registry) Gateway(epoch uint64) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at[epoch], false
}

func (r *registry) Elsewhere(int) (Node, uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.away == nil {
		return Node{}, r.version, false
	}
	return *r.away, r.version, true
}

// change changes what the registry says.
func (r *registry) change(f func(*registry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r)
}

// put has a node own every queue up to n.
func (r *registry) put(n int, node Node) {
	r.change(func(r *registry) {
		for q := range n {
			r.of[q] = node
		}
	})
}

// script is a node of any role that does what a test says and notes what it was asked.
//
// mu is that of the client which calls it, who takes it before a call and after it: so a
// test may set and read the fields while no call is under way.
type script struct {
	mu       *sync.Mutex
	logins   []hop.Login
	entering [][]hop.Binding
	logouts  [][]hop.Binding
	batches  []hop.Forward
	queries  []hop.Query
	again    []hop.Redelivery
	rebound  [][]hop.Rebinding
	lost     []uint32
	pushes   []hop.Push
	kicked   map[uint64]protocol.Code
	records  []hop.Record
	forward  func(context.Context, *hop.Forward) (hop.Answers, error)
	welcomes []hop.Welcome
	codes    []protocol.Code
	reply    []byte
	absent   []uint64
	err      error
	panics   bool
	entered  chan struct{} // gets a token by each call, unless nil
	gate     chan struct{} // each call waits for a token, unless nil
	discards bool          // notes nothing
}

func (s *script) note(f func()) error {
	s.mu.Lock()
	discards, entered, gate := s.discards, s.entered, s.gate
	s.mu.Unlock()
	if discards {
		return nil
	}
	if entered != nil {
		entered <- struct{}{}
	}
	if gate != nil {
		<-gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	if s.panics {
		panic("scripted")
	}
	return s.err
}

func (s *script) Login(_ context.Context, logins []hop.Login) ([]hop.Welcome, error) {
	err := s.note(func() { s.logins = append(s.logins, logins...) })
	return s.welcomes, err
}

func (s *script) Enter(_ context.Context, connections []hop.Binding) ([]protocol.Code, error) {
	err := s.note(func() { s.entering = append(s.entering, connections) })
	return s.codes, err
}

func (s *script) Logout(_ context.Context, over []hop.Binding) error {
	return s.note(func() { s.logouts = append(s.logouts, over) })
}

func (s *script) BindAgain(_ context.Context, again []hop.Rebinding) ([]uint32, error) {
	err := s.note(func() { s.rebound = append(s.rebound, again) })
	return s.lost, err
}

func (s *script) Forward(ctx context.Context, b *hop.Forward) (hop.Answers, error) {
	if err := s.note(func() { s.batches = append(s.batches, *b) }); err != nil {
		return hop.Answers{}, err
	}
	if s.forward != nil {
		return s.forward(ctx, b)
	}
	return acked(b), nil
}

func (s *script) Query(_ context.Context, q *hop.Query) ([]byte, error) {
	err := s.note(func() { s.queries = append(s.queries, *q) })
	return s.reply, err
}

func (s *script) Redeliver(_ context.Context, r *hop.Redelivery) ([]byte, error) {
	err := s.note(func() { s.again = append(s.again, *r) })
	return s.reply, err
}

func (s *script) Push(_ context.Context, p *hop.Push) []uint64 {
	_ = s.note(func() { s.pushes = append(s.pushes, *p) })
	return s.absent
}

func (s *script) Kick(conn uint64, code protocol.Code) {
	_ = s.note(func() { s.kicked[conn] = code })
}

func (s *script) Receipts(_ context.Context, r *hop.Record) error {
	return s.note(func() { s.records = append(s.records, *r) })
}

func newScript() *script {
	return &script{mu: new(sync.Mutex), kicked: map[uint64]protocol.Code{}}
}

// acked answers every frame of a batch with a SENDACK.
func acked(b *hop.Forward) (a hop.Answers) {
	for i := range b.Len() {
		f, _ := b.Frame(i)
		a.Frames = protocol.SendAck{ClientID: uint64(i + 1), Seq: uint64(i + 1)}.AppendFrame(a.Frames, f.Request)
		a.Close(i)
	}
	return a
}

// batchOf makes a batch of n SEND frames with bodies of a size.
func batchOf(n, size int) *hop.Forward {
	b := &hop.Forward{Gateway: 77, Queue: 3}
	for i := range n {
		frame := protocol.Send{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, ClientID: uint64(i + 1), Content: protocol.ContentText, Body: make([]byte, size),
		}.AppendFrame(nil, uint32(i+1))
		b.Add(uint64(i+1), 1<<63|uint64(i), uint64(i+100), frame)
	}
	return b
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// quiet is a log that counts its lines by message.
type quiet struct {
	mu    sync.Mutex
	lines map[string]int
}

func (q *quiet) Enabled(context.Context, slog.Level) bool { return true }
func (q *quiet) WithAttrs([]slog.Attr) slog.Handler       { return q }
func (q *quiet) WithGroup(string) slog.Handler            { return q }
func (q *quiet) Handle(_ context.Context, r slog.Record) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lines[r.Message]++
	return nil
}

func (q *quiet) most() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, count := range q.lines {
		n = max(n, count)
	}
	return n
}

func newLog() (*slog.Logger, *quiet) {
	q := &quiet{lines: map[string]int{}}
	return slog.New(q), q
}

// self is the node that servers of these tests are.
const self = 7

// config is that of a server under test.
func config() Config {
	log, _ := newLog()
	return Config{Epoch: func() uint64 { return self }, Log: log}
}

// stopping stops a server at the end of the test.
func stopping(t testing.TB, s *Server) *Server {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

// logicStage is a client and a logic node.
type logicStage struct {
	*script
	registry *registry
	server   *Server
	client   *Logics
	log      *quiet
}

func newLogicStage(t testing.TB) *logicStage {
	t.Helper()
	st := &logicStage{script: newScript(), registry: newRegistry()}
	log, lines := newLog()
	st.log = lines
	st.client = NewLogics(st.registry, queues, log)
	st.mu = &st.client.calls.peers.mu
	st.server = stopping(t, ServeLogic(listen(t), st.script, st.registry, config()))
	st.registry.put(queues, Node{ID: self, Address: st.server.Address()})
	t.Cleanup(st.client.Close)
	return st
}

const queues = 16

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// counted says by how much a counter of a client or server has risen.
func counted(stats func() map[string]uint64, name string) func() uint64 {
	before, ok := stats()[name]
	if !ok {
		panic(fmt.Sprintf("there is no counter %q", name))
	}
	return func() uint64 { return stats()[name] - before }
}
