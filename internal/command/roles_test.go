package command

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/gateway"
	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/token"
	"gannet/logic"
	logicstore "gannet/logic/embedded"
	"gannet/protocol"
	"gannet/transfer"
	"gannet/transfer/embedded"
)

// roles is what stands behind the adapters that the suites are run against: real rules
// over a real store, and a real gateway with devices.
type roles struct {
	t         *testing.T
	devices   *away
	keys      *token.Keys
	store     *logicstore.Store
	queue     *embedded.Queue
	local     *localGateway
	held      heldGateways // local, as transfer reaches it
	pusher    *transfer.Server
	rules     *logic.Service
	gateway   *gateway.Gateway
	address   string
	kicks     kicks
	stopStore func()
}

// queuesOfRoles is how many queues the store has.
const queuesOfRoles = 4

func newRoles(t *testing.T) *roles {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r := &roles{t: t, devices: &away{Memory: directory.NewMemory()}, queue: embedded.NewQueue(queuesOfRoles), local: &localGateway{}}
	dir := t.TempDir()
	var err error
	r.store, err = logicstore.Open(filepath.Join(dir, "db"), logicstore.Options{Queues: queuesOfRoles, Publish: r.queue.Put, Log: log, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	r.stopStore = sync.OnceFunc(func() {
		r.queue.Close()
		if err := r.store.Close(); err != nil {
			t.Errorf("the store: %v", err)
		}
	})
	t.Cleanup(r.stopStore)
	if r.keys, err = token.OpenKeys(filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	r.held.Gateways = r.local
	r.pusher = transfer.Start(transfer.Config{Queue: r.queue, Directory: r.devices, Gateways: &r.held, Queues: numbers(queuesOfRoles), Log: log})
	t.Cleanup(r.pusher.Stop)
	identity := r.store.Identity()
	r.rules = logic.New(logic.Config{
		Log: r.store, History: r.store, Inbox: r.store, Social: logic.Direct{}, Receipts: r.pusher, Directory: r.devices,
		Gateways: &r.kicks, Tokens: r.keys, Queues: queuesOfRoles, Server: identity[:], Logger: log,
	})
	r.gateway, r.address = r.openGateway()
	r.local.gateway.Store(r.gateway)
	return r
}

// openGateway starts a gateway over the rules.
func (r *roles) openGateway() (g *gateway.Gateway, address string) {
	r.t.Helper()
	g = gateway.New(gateway.Config{Logic: r.rules, Lanes: queuesOfRoles, Log: slog.New(slog.DiscardHandler)})
	r.t.Cleanup(func() { r.stopGateway(g) })
	listeners, err := gateway.Listen("127.0.0.1:0", 1)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := g.Serve(listeners[0]); err != nil {
		r.t.Fatal(err)
	}
	return g, listeners[0].Addr().String()
}

func (r *roles) stopGateway(g *gateway.Gateway) {
	ctx, cancel := context.WithTimeout(context.Background(), rolesPatience)
	defer cancel()
	if err := g.Stop(ctx); err != nil && !errors.Is(err, gateway.ErrStopped) {
		r.t.Errorf("stop: %v", err)
	}
}

// rolesPatience bounds every wait.
const rolesPatience = time.Minute

func (r *roles) token(user uint64) []byte {
	text, err := r.keys.Sign(user, time.Hour, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return []byte(text)
}

// device is a device that is connected to a gateway.
type device struct {
	t      *testing.T
	socket net.Conn
	conn   uint64
	in     []byte
}

// connect logs a device in.
func (r *roles) connect(address string, user, id uint64) *device {
	r.t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	d := &device{socket: c, t: r.t}
	d.send(protocol.Hello{Version: protocol.Version, Token: r.token(user), Device: id}.AppendFrame(nil, 1))
	if f := d.Next(); f.Type != protocol.TypeWelcome {
		r.t.Fatalf("login of %d: %#x", user, f.Type)
	}
	d.alive()
	_, list, err := r.devices.Devices(context.Background(), []directory.Lookup{{User: user}}, nil, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, x := range list {
		if x.Device == id {
			d.conn = x.At.Conn
		}
	}
	return d
}

func (d *device) send(b []byte) {
	d.t.Helper()
	if _, err := d.socket.Write(b); err != nil {
		d.t.Fatal(err)
	}
}

// Conn is that of the suites.
func (d *device) Conn() uint64 { return d.conn }

// Leave hangs up.
func (d *device) Leave() { _ = d.socket.Close() }

// Next waits for a frame.
func (d *device) Next() protocol.Frame {
	d.t.Helper()
	_ = d.socket.SetReadDeadline(time.Now().Add(rolesPatience))
	for {
		f, n, err := protocol.Split(d.in, protocol.MaxFrame)
		if err != nil {
			d.t.Fatal(err)
		}
		if n > 0 {
			f.Payload = append([]byte(nil), f.Payload...)
			d.in = d.in[n:]
			return f
		}
		buf := make([]byte, 64<<10)
		if n, err = d.socket.Read(buf); err != nil {
			d.t.Fatalf("reading a frame: %v", err)
		}
		d.in = append(d.in, buf[:n]...)
	}
}

// of waits for the next frame of a type.
func (d *device) of(t protocol.Type) protocol.Frame {
	for {
		if f := d.Next(); f.Type == t {
			return f
		}
	}
}

// alive checks that the gateway serves the device.
func (d *device) alive() {
	d.t.Helper()
	d.send(protocol.AppendEmpty(nil, protocol.TypePing, 77))
	d.of(protocol.TypePong)
}

// closed waits for CLOSE, and gives its code.
func (d *device) closed() protocol.Code {
	var m protocol.Failure
	if err := m.Decode(d.of(protocol.TypeClose).Payload); err != nil {
		d.t.Error(err)
	}
	return m.Code
}

// away is a directory that answers nothing while it is away.
type away struct {
	*directory.Memory
	gone atomic.Bool
}

var errNoDirectory = errors.New("the directory is away")

func (a *away) Draw(ctx context.Context, users, dst []uint64) ([]uint64, error) {
	if a.gone.Load() {
		return nil, errNoDirectory
	}
	return a.Memory.Draw(ctx, users, dst)
}

func (a *away) Bind(ctx context.Context, binds []directory.Bind, dst []directory.Bound) ([]directory.Bound, error) {
	if a.gone.Load() {
		return nil, errNoDirectory
	}
	return a.Memory.Bind(ctx, binds, dst)
}

func (a *away) Unbind(ctx context.Context, binds []directory.Bind) error {
	if a.gone.Load() {
		return errNoDirectory
	}
	return a.Memory.Unbind(ctx, binds)
}

// kicks notes the connections that logic has closed.
type kicks struct {
	mu   sync.Mutex
	list []hop.Address
}

func (k *kicks) Kick(_ context.Context, at hop.Address, _ protocol.Code) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, at)
	return nil
}

func (k *kicks) kicked() []hop.Address {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]hop.Address(nil), k.list...)
}

// gate lets calls wait while it is shut.
type gate struct {
	mu       sync.Mutex
	open     chan struct{} // nil: it is open
	standing chan struct{} // gets a token by each call that waits, if there is room
}

func (g *gate) shut() (standing <-chan struct{}, release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	open := make(chan struct{})
	g.open, g.standing = open, make(chan struct{}, 1)
	return g.standing, sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.open = nil
		close(open)
	})
}

func (g *gate) pass() {
	g.mu.Lock()
	open, standing := g.open, g.standing
	g.mu.Unlock()
	if open == nil {
		return
	}
	select {
	case standing <- struct{}{}:
	default:
	}
	<-open
}

// heldGateways is gateways that take no push while its gate is shut.
type heldGateways struct {
	transfer.Gateways
	gate
}

func (h *heldGateways) Push(ctx context.Context, epoch uint64, pushes []*hop.Push, done func([]uint64, error)) {
	h.mu.Lock()
	shut := h.open != nil
	h.mu.Unlock()
	if !shut {
		h.Gateways.Push(ctx, epoch, pushes, done)
		return
	}
	go func() {
		h.pass()
		h.Gateways.Push(ctx, epoch, pushes, done)
	}()
}

// heldGateway is a gateway that answers no push while its gate is shut.
type heldGateway struct {
	*gateway.Gateway
	gate
}

func (h *heldGateway) Push(ctx context.Context, push *hop.Push) []uint64 {
	h.pass()
	return h.Gateway.Push(ctx, push)
}

// heldRouter is a transfer server that takes no receipts while its gate is shut.
type heldRouter struct {
	*transfer.Server
	gate
}

func (h *heldRouter) Receipts(ctx context.Context, record *hop.Record) error {
	h.pass()
	return h.Server.Receipts(ctx, record)
}
