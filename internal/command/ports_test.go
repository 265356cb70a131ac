package command

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"testing"

	gatewayports "gannet/gateway/conformance"
	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/registry"
	logicports "gannet/logic/conformance"
	"gannet/protocol"
	transferports "gannet/transfer/conformance"
)

// The ports by which roles reach each other have two adapters each: a call within one
// process, and Kitex. Both are composed here alone, and are run against the suites here.

// wires is a registry with what nodes ask it, by which the roles find each other.
type wires struct {
	t        *testing.T
	registry *registry.Memory
	nodes    *nodes
	log      *slog.Logger
}

func newWires(t *testing.T) *wires {
	r := registry.NewMemory()
	return &wires{t: t, registry: r, nodes: newNodes(r), log: slog.New(slog.DiscardHandler)}
}

// listen opens an address for a node, and registers it.
func (c *wires) listen(role registry.Role) (net.Listener, registry.Registration, uint64) {
	c.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	id := rand.Uint64() | 1
	own, err := c.registry.Register(c.t.Context(), registry.Node{ID: id, Role: role, Addresses: map[string]string{registry.RPC: ln.Addr().String()}})
	if err != nil {
		c.t.Fatal(err)
	}
	return ln, own, id
}

// serving stops a server at the end of the test, or before.
func (c *wires) serving(s *rpc.Server) (stop func()) {
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), rolesPatience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			c.t.Errorf("stop: %v", err)
		}
	}
	c.t.Cleanup(stop)
	return stop
}

// gateway registers and serves a gateway of the roles.
func (c *wires) gateway(g *heldGateway) (own registry.Registration, stop func()) {
	ln, own, _ := c.listen(registry.Gateway)
	g.Renew(own.Epoch())
	return own, c.serving(rpc.ServeGateway(ln, g, rpc.Config{Epoch: g.Epoch, Log: c.log}))
}

// client is a client of gateways.
func (c *wires) client() *rpc.Gateways {
	client := rpc.NewGateways(registry.Epochs{Registry: c.registry}, c.log)
	c.t.Cleanup(client.Close)
	return client
}

// renew ends a registration; the gateway goes on under another epoch.
func renew(t *testing.T, own registry.Registration, g *heldGateway) {
	if err := own.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.Renew(own.Epoch() + 1)
}

// connector connects devices of users, each with a number of its own.
func (r *roles) connector(address string) func(user uint64) *device {
	id := uint64(0)
	return func(user uint64) *device {
		id++
		return r.connect(address, user, id)
	}
}

func TestGatewaysOfTransfer(t *testing.T) {
	t.Run("in one process", func(t *testing.T) {
		transferports.Gateways(t, func(t *testing.T) transferports.Site {
			r := newRoles(t)
			connect := r.connector(r.address)
			return transferports.Site{
				Gateways: r.local, Epoch: r.gateway.Epoch(),
				Connect: func(user uint64) transferports.Device { return connect(user) },
				End:     func() { r.gateway.Renew(r.gateway.Epoch() + 1) },
				Close:   func() { r.stopGateway(r.gateway) },
			}
		})
	})
	t.Run("over Kitex", func(t *testing.T) {
		transferports.Gateways(t, func(t *testing.T) transferports.Site {
			r, c := newRoles(t), newWires(t)
			g, client := &heldGateway{Gateway: r.gateway}, c.client()
			own, stop := c.gateway(g)
			connect := r.connector(r.address)
			return transferports.Site{
				Gateways: client, Epoch: own.Epoch(),
				Connect: func(user uint64) transferports.Device { return connect(user) },
				End:     func() { renew(t, own, g) },
				Close:   func() { client.Close(); r.stopGateway(r.gateway); stop() },
			}
		})
		transferports.Apart(t, func(t *testing.T) transferports.Fleet {
			r, c := newRoles(t), newWires(t)
			second, address := r.openGateway()
			gateways := [2]*heldGateway{{Gateway: r.gateway}, {Gateway: second}}
			connect := [2]func(uint64) *device{r.connector(r.address), r.connector(address)}
			f := transferports.Fleet{
				Gateways: c.client(), Hang: gateways[0].shut,
				Connect: func(i int, user uint64) transferports.Device { return connect[i](user) },
			}
			var own [2]registry.Registration
			for i, g := range gateways {
				own[i], _ = c.gateway(g)
				f.Epochs[i] = own[i].Epoch()
			}
			f.End = func(i int) { renew(t, own[i], gateways[i]) }
			return f
		})
	})
}

func TestGatewaysOfLogic(t *testing.T) {
	site := func(r *roles) logicports.Site {
		connect := r.connector(r.address)
		return logicports.Site{Connect: func(user uint64) (uint64, func() protocol.Code, func()) {
			d := connect(user)
			return d.conn, d.closed, d.alive
		}}
	}
	t.Run("in one process", func(t *testing.T) {
		logicports.Gateways(t, func(t *testing.T) logicports.Site {
			r := newRoles(t)
			s := site(r)
			s.Gateways, s.Epoch = r.local, r.gateway.Epoch()
			s.Renew = func() { r.gateway.Renew(r.gateway.Epoch() + 1) }
			return s
		})
	})
	t.Run("over Kitex", func(t *testing.T) {
		logicports.Gateways(t, func(t *testing.T) logicports.Site {
			r, c := newRoles(t), newWires(t)
			g := &heldGateway{Gateway: r.gateway}
			own, _ := c.gateway(g)
			s := site(r)
			s.Gateways, s.Epoch = c.client(), own.Epoch()
			s.Renew = func() { renew(t, own, g) }
			return s
		})
	})
}

func TestReceiptsOfLogic(t *testing.T) {
	tellers := func(r *roles) logicports.Tellers {
		return logicports.Tellers{Connect: func(user, id uint64) func() protocol.Receipt {
			d := r.connect(r.address, user, id)
			return func() (m protocol.Receipt) {
				if err := m.Decode(d.of(protocol.TypeReceipt).Payload); err != nil {
					r.t.Fatal(err)
				}
				return m
			}
		}}
	}
	t.Run("in one process", func(t *testing.T) {
		logicports.Receipts(t, func(t *testing.T) logicports.Tellers {
			r := newRoles(t)
			w := tellers(r)
			w.Receipts, w.Close = r.pusher, r.pusher.Stop
			w.Hang = func() func() { _, release := r.held.shut(); return release }
			return w
		})
	})
	t.Run("over Kitex", func(t *testing.T) {
		logicports.Receipts(t, func(t *testing.T) logicports.Tellers {
			r, c := newRoles(t), newWires(t)
			router := &heldRouter{Server: r.pusher}
			ln, _, _ := c.listen(registry.Transfer)
			stop := c.serving(rpc.ServeTransfer(ln, router, rpc.Config{Log: c.log}))
			client := rpc.NewReceipts(c.nodes.of(registry.Transfer, chain.Chat), c.log)
			t.Cleanup(client.Close)
			w := tellers(r)
			w.Receipts, w.Close = client, func() { client.Close(); stop() }
			w.Hang = func() func() { _, release := router.shut(); return release }
			return w
		})
	})
}

func TestLogicOfGateway(t *testing.T) {
	for name, open := range map[string]gatewayports.Open{
		"in one process": func(t *testing.T) gatewayports.Site {
			r := newRoles(t)
			s := r.logicSite()
			s.Logic, s.Binder, s.Close = r.rules, r.rules, r.stopStore
			return s
		},
		"over Kitex": func(t *testing.T) gatewayports.Site {
			r, c := newRoles(t), newWires(t)
			ln, _, id := c.listen(registry.Logic)
			of := c.nodes.of(registry.Logic, chain.Chat)
			stop := c.serving(rpc.ServeLogic(ln, r.rules, placement{of, id}, rpc.Config{Log: c.log}))
			client := rpc.NewLogics(of, queuesOfRoles, c.log)
			t.Cleanup(client.Close)
			s := r.logicSite()
			s.Logic, s.Binder = client, client
			s.Close = func() { stop(); client.Close(); r.stopStore() }
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			gatewayports.Logic(t, open)
			gatewayports.Binder(t, open)
		})
	}
}

func (r *roles) logicSite() gatewayports.Site {
	return gatewayports.Site{Queues: queuesOfRoles, Token: r.token, Kicked: r.kicks.kicked, Away: r.devices.gone.Store}
}
