//go:build cluster

package cluster

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/idl/rpc"
	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	registryredis "gannet/internal/registry/redis"
	"gannet/internal/services/servicestest"
	"gannet/protocol"
	"gannet/transfer"
)

// served is a gateway behind RPC, in the registry.
type served struct {
	epoch uint64
	reg   registry.Registration

	mu     sync.Mutex
	hangs  chan struct{} // calls wait until it is closed; nil: none does
	bodies []string
}

func (g *served) Push(ctx context.Context, push *hop.Push) []uint64 {
	g.mu.Lock()
	hangs := g.hangs
	g.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range push.Len() {
		f, _, err := protocol.Split(push.Bytes(i), protocol.MaxFrame)
		var m protocol.Message
		if err == nil && m.Decode(f.Payload) == nil {
			g.bodies = append(g.bodies, string(m.Body))
		}
	}
	return nil
}

func (g *served) Kick(uint64, protocol.Code) {}

// got gives what came, each once, as it came first: what nobody knows to have come comes again.
func (g *served) got() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var once []string
	for _, body := range g.bodies {
		if !slices.Contains(once, body) {
			once = append(once, body)
		}
	}
	return once
}

// serve starts a gateway; register says whether others may know.
func serve(t *testing.T, r registry.Registry, id uint64) *served {
	t.Helper()
	g := &served{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	g.reg, err = r.Register(t.Context(), registry.Node{ID: id, Role: registry.Gateway, Addresses: map[string]string{registry.RPC: ln.Addr().String()}})
	must(t, err)
	g.epoch = g.reg.Epoch()
	server := rpc.ServeGateway(ln, g, rpc.Config{Epoch: func() uint64 { return g.epoch }, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = server.Stop(ctx)
	})
	return g
}

// openRegistry gives a registry as one process sees it.
func openRegistry(t *testing.T, prefix, address string, expiry time.Duration) *registryredis.Registry {
	t.Helper()
	r, err := registryredis.Open(t.Context(), redistest.Client(t, address), registryredis.Options{Prefix: prefix, Expiry: expiry, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(r.Close)
	return r
}

// Pushes go by RPC to the gateways that the registry knows. One that hangs holds up nobody
// else, and gets its own when it goes on; one that came just now is asked for and not
// given up; what is for one whose registration has ended is done with it.
func TestGatewaysByRPC(t *testing.T) {
	s, q := begun(t)
	w := s.writers[0]
	address := servicestest.Redis(t)
	const slow = time.Minute // nobody's view follows by itself within the test
	of, ours := openRegistry(t, s.name, address, slow), openRegistry(t, s.name, address, slow)
	good, hanging, ending := serve(t, of, 1), serve(t, of, 2), serve(t, of, 3)
	hanging.hangs, ending.hangs = make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(ending.hangs) })
	must(t, ours.Refresh(t.Context()))
	late := serve(t, of, 4)
	if _, known := ours.View().Epoch(late.epoch); known {
		t.Fatal("the newest gateway is known already")
	}

	d := directory.NewMemory()
	for i, g := range []*served{good, hanging, ending, late} {
		_, err := d.Bind(t.Context(), []directory.Bind{{User: 2, Device: uint64(i) + 1, Number: 1, At: hop.Address{Gateway: g.epoch, Conn: 5}}}, nil)
		must(t, err)
	}
	gateways := rpc.NewGateways(registry.Epochs{Registry: ours}, slog.New(slog.DiscardHandler))
	t.Cleanup(gateways.Close)
	server := transfer.Start(transfer.Config{
		Queue: q, Directory: NewDirectory(d), Gateways: gateways, Queues: []int{0}, Parking: q, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(server.Stop)
	for i, body := range []string{"a", "b", "c"} {
		w.put(message(0, i, body))
	}
	all := []string{"a", "b", "c"}
	eventually(t, "the good ones have all", func() bool { return slices.Equal(good.got(), all) && slices.Equal(late.got(), all) })
	eventually(t, "a push to the others is given up, and tried again", func() bool { return server.Stats()["retry.push"] > 2 })
	if n := q.Vars()["undone"]; n != 3 {
		t.Errorf("%d records are not done while gateways hang that may come back", n)
	}
	hanging.mu.Lock()
	close(hanging.hangs)
	hanging.hangs = nil
	hanging.mu.Unlock()
	eventually(t, "the one that hung has all", func() bool { return slices.Equal(hanging.got(), all) })
	if n := server.Stats()["drop.ended"]; n != 0 {
		t.Errorf("%d deliveries were given up though every gateway is registered", n)
	}
	must(t, ending.reg.Leave(t.Context()))
	must(t, ours.Refresh(t.Context()))
	eventually(t, "what was for the one that has ended is done", func() bool { return q.Vars()["undone"] == 0 })
	if st := server.Stats(); st["drop.ended"] != 3 || st["drop.everything"] != 0 {
		t.Errorf("counted %v", st)
	}
}
