package endtoend

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"gannet/gateway"
	"gannet/idl/rpc"
	"gannet/internal/directory"
	"gannet/internal/services/servicestest"
	"gannet/internal/token"
	"gannet/logic"
	logicstore "gannet/logic/embedded"
	"gannet/transfer"
	"gannet/transfer/embedded"
)

// roles is two gateways, logic and transfer, each with its own ports, which call each
// other by RPC over loopback. The store, the queue and the directory are those of a single
// process.
type roles struct {
	t        testing.TB
	data     string
	view     view
	service  *logic.Service
	pusher   *transfer.Server
	logic    *rpc.Server
	gateways [2]*roleGateway
	pushes   *rpc.Gateways
	receipts *rpc.Receipts
}

// roleGateway is a gateway with its client of logic and its server for transfer.
type roleGateway struct {
	*gateway.Gateway
	address string
	logics  *rpc.Logics
	server  *rpc.Server
}

// view stands where the registry would.
type view struct {
	mu       sync.Mutex
	gateways map[uint64]string
	ended    map[uint64]bool
	node     rpc.Node
}

func (v *view) Of(int) (rpc.Node, uint64, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.node, 1, v.node.Address != ""
}

func (v *view) Newer(uint64) {}

func (v *view) Elsewhere(int) (rpc.Node, uint64, bool) { return rpc.Node{}, 1, false }

func (v *view) Gateway(epoch uint64) (address string, ended bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gateways[epoch], v.ended[epoch]
}

func (v *view) change(f func(*view)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v)
}

const roleQueues = 4

func loopback(t testing.TB, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func startRoles(t testing.TB) *roles {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r := &roles{t: t, data: t.TempDir(), view: view{gateways: map[uint64]string{}, ended: map[uint64]bool{}}}
	queue, devices := embedded.NewQueue(roleQueues), directory.NewMemory()
	store, err := logicstore.Open(filepath.Join(r.data, "db"), logicstore.Options{Queues: roleQueues, Publish: queue.Put, Log: log, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		queue.Close()
		if err := store.Close(); err != nil {
			t.Errorf("the store: %v", err)
		}
	})
	keys, err := token.OpenKeys(filepath.Join(r.data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	r.pushes = rpc.NewGateways(&r.view, log)
	t.Cleanup(r.pushes.Close)
	r.pusher = transfer.Start(transfer.Config{Queue: queue, Directory: devices, Gateways: r.pushes, Queues: []int{0, 1, 2, 3}, Log: log})
	t.Cleanup(r.pusher.Stop)
	routers := &view{}
	r.stop(rpc.ServeTransfer(loopback(t, "127.0.0.1:0"), r.pusher, rpc.Config{Log: log}), func(s *rpc.Server) {
		routers.node = rpc.Node{ID: 1, Address: s.Address()}
	})
	r.receipts = rpc.NewReceipts(routers, log)
	t.Cleanup(r.receipts.Close)
	identity := store.Identity()
	r.service = logic.New(logic.Config{
		Log: store, History: store, Inbox: store, Social: logic.Direct{}, Receipts: r.receipts, Directory: devices,
		Gateways: r.pushes, Tokens: keys, Queues: roleQueues, Server: identity[:], Logger: log,
	})
	r.serveLogic(servicestest.FreeAddress(t))
	t.Cleanup(func() {
		if err := r.logic.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	for i := range r.gateways {
		r.gateways[i] = r.startGateway(log)
	}
	return r
}

// stop stops a server at the end of the test; use gets it first.
func (r *roles) stop(s *rpc.Server, use func(*rpc.Server)) {
	use(s)
	r.t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			r.t.Errorf("stop: %v", err)
		}
	})
}

// serveLogic has logic answer at an address.
func (r *roles) serveLogic(address string) {
	ln := loopback(r.t, address)
	r.logic = rpc.ServeLogic(ln, r.service, &r.view, rpc.Config{Log: slog.New(slog.DiscardHandler)})
	r.view.change(func(v *view) { v.node = rpc.Node{ID: 1, Address: ln.Addr().String()} })
}

func (r *roles) startGateway(log *slog.Logger) *roleGateway {
	g := &roleGateway{logics: rpc.NewLogics(&r.view, roleQueues, log)}
	r.t.Cleanup(g.logics.Close)
	g.Gateway = gateway.New(gateway.Config{Logic: g.logics, Lanes: roleQueues, Log: log})
	listeners, err := gateway.Listen("127.0.0.1:0", 1)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := g.Serve(listeners[0]); err != nil {
		r.t.Fatal(err)
	}
	g.address = listeners[0].Addr().String()
	r.stop(rpc.ServeGateway(loopback(r.t, "127.0.0.1:0"), g.Gateway, rpc.Config{Epoch: g.Epoch, Log: log}), func(s *rpc.Server) { g.server = s })
	r.view.change(func(v *view) { v.gateways[g.Epoch()] = g.server.Address() })
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := g.Gateway.Stop(ctx); err != nil && err != gateway.ErrStopped {
			r.t.Errorf("stop: %v", err)
		}
	})
	return g
}

// login logs in through a gateway.
func (r *roles) login(gateway int, user, device uint64) *rawClient {
	r.t.Helper()
	return loginRaw(r.t, r.gateways[gateway].address, r.data, user, device)
}
