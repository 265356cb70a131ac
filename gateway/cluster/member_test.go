//go:build cluster

package cluster_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"gannet/gateway"
	"gannet/gateway/cluster"
	"gannet/internal/directory"
	directoryredis "gannet/internal/directory/redis"
	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	registryredis "gannet/internal/registry/redis"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/protocol"
)

// patience bounds every wait.
const patience = time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is a gateway that is a member of the cluster in a Redis.
type node struct {
	t         *testing.T
	gateway   *gateway.Gateway
	member    *cluster.Member
	registry  *registryredis.Registry
	directory *directoryredis.Directory
	address   string
}

// tokens lets in whoever says who it is with one byte.
type tokens struct{}

func (tokens) Verify(token []byte) (uint64, time.Time, error) {
	return uint64(token[0]), time.Time{}, nil
}

// kicker closes nothing: here a connection learns by itself that it is replaced.
type kicker struct{ n atomic.Int64 }

func (k *kicker) Kick(context.Context, hop.Address, protocol.Code) error {
	k.n.Add(1)
	return nil
}

// expiry is longer than a machine that is busy keeps a node from saying that it lives. No test
// waits for it.
const expiry = 6 * time.Second

func newNode(t *testing.T, id uint64, prefix, redis string) *node {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	client := redistest.Client(t, redis)
	n := &node{t: t}
	var err error
	n.registry, err = registryredis.Open(t.Context(), client, registryredis.Options{Prefix: prefix, Expiry: expiry, Logger: log})
	must(t, err)
	t.Cleanup(n.registry.Close)
	n.directory = directoryredis.New(client, directoryredis.Options{Prefix: prefix, Ended: n.registry.Ended, Logger: log})
	service := logic.New(logic.Config{Directory: n.directory, Gateways: &kicker{}, Tokens: tokens{}, Queues: 1, Logger: log})
	n.gateway = gateway.New(gateway.Config{Logic: service, Binder: service, Log: log})
	listeners, err := gateway.Listen("127.0.0.1:0", 1)
	must(t, err)
	must(t, n.gateway.Serve(listeners[0]))
	n.address = listeners[0].Addr().String()
	n.member = cluster.Join(cluster.Options{
		Registry: n.registry, Directory: n.directory, Gateway: n.gateway, Log: log,
		Node: registry.Node{ID: id, Addresses: map[string]string{registry.RPC: "127.0.0.1:1"}},
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = n.gateway.Stop(ctx) // with connections it takes as long as it may
		n.member.Leave()
	})
	<-n.member.Joined()
	return n
}

// peer is a client of bytes.
type peer struct {
	net.Conn
	t  *testing.T
	in []byte
}

func (n *node) login(user, device uint64) *peer {
	n.t.Helper()
	c, err := net.Dial("tcp", n.address)
	must(n.t, err)
	n.t.Cleanup(func() { _ = c.Close() })
	p := &peer{Conn: c, t: n.t}
	_, err = c.Write(protocol.Hello{Version: protocol.Version, Token: []byte{byte(user)}, Device: device}.AppendFrame(nil, 1))
	must(n.t, err)
	if f := p.next(); f.Type != protocol.TypeWelcome {
		n.t.Fatalf("login of %d: %#x", user, f.Type)
	}
	return p
}

func (p *peer) next() protocol.Frame {
	p.t.Helper()
	must(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	buffer := make([]byte, 4096)
	for {
		f, n, err := protocol.Split(p.in, protocol.MaxFrame)
		must(p.t, err)
		if n > 0 {
			p.in = p.in[n:]
			return f
		}
		n, err = p.Read(buffer)
		must(p.t, err)
		p.in = append(p.in, buffer[:n]...)
	}
}

// hinted waits for a hint of everything.
func (p *peer) hinted() {
	p.t.Helper()
	var hint protocol.Cursor
	if f := p.next(); f.Type != protocol.TypeHint || hint.Decode(f.Payload) != nil || hint != (protocol.Cursor{}) {
		p.t.Fatalf("got %#x %+v, not a hint of everything", f.Type, hint)
	}
}

// at gives where the devices of a user are.
func (n *node) at(user uint64) map[uint64]hop.Address {
	n.t.Helper()
	at := map[uint64]hop.Address{}
	eventually(n.t, "the directory answers", func() bool {
		_, list, err := n.directory.Devices(n.t.Context(), []directory.Lookup{{User: user}}, nil, nil)
		for _, d := range list {
			at[d.Device] = d.At
		}
		return err == nil
	})
	return at
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// A gateway whose registration has ended, as that of one that stood still, begins a new
// epoch: who is connected is bound under it and hinted, and whose device has logged in
// elsewhere meanwhile is closed.
func TestRegistrationEnded(t *testing.T) {
	redis := servicestest.Redis(t)
	prefix := redistest.Prefix(t, redis)
	a, b := newNode(t, 1, prefix, redis), newNode(t, 2, prefix, redis)
	stays, moves := a.login(1, 10), a.login(2, 20)
	before := a.gateway.Epoch()
	if at := a.at(1)[10]; at.Gateway != before {
		t.Fatalf("the device is at %v, the epoch is %x", at, before)
	}
	moved := b.login(2, 20)                                                                     // and a does not hear of it
	twin, err := b.registry.Register(t.Context(), registry.Node{ID: 1, Role: registry.Gateway}) // ends that of a
	must(t, err)
	must(t, twin.Leave(t.Context()))
	stays.hinted()
	if f := moves.next(); f.Type != protocol.TypeClose {
		t.Errorf("who has moved gets %#x", f.Type)
	}
	now := a.gateway.Epoch()
	if at := a.at(1)[10]; now == before || at.Gateway != now {
		t.Errorf("the device is at %v, the epoch is %x and was %x", at, now, before)
	}
	if at := a.at(2)[20]; at.Gateway != b.gateway.Epoch() {
		t.Errorf("the device that has moved is at %v, not at %x", at, b.gateway.Epoch())
	}
	must(t, b.registry.Refresh(t.Context()))
	if n, lives := b.registry.View().Epoch(now); !lives || n.ID != 1 {
		t.Errorf("the others see %+v, %v", n, lives)
	}
	if ended, err := b.registry.Ended(t.Context(), before); !ended || err != nil {
		t.Errorf("the epoch before has ended: %v, %v", ended, err)
	}
	b.gateway.Kick(b.at(2)[20].Conn, protocol.CodeReplaced)
	if f := moved.next(); f.Type != protocol.TypeClose { // and got no hint before
		t.Errorf("who is where it was gets %#x", f.Type)
	}
}

// Redis loses all: every gateway registers and binds again, and hints everybody.
func TestEmptiedRedis(t *testing.T) {
	redis := servicestest.OwnRedis(t)
	a, b := newNode(t, 1, "test", redis.Address), newNode(t, 2, "test", redis.Address)
	one, two, three := a.login(1, 10), b.login(2, 20), b.login(1, 11)
	before := [2]uint64{a.gateway.Epoch(), b.gateway.Epoch()}
	redis.Kill()
	redis.Start()
	for _, p := range []*peer{one, two, three} {
		p.hinted()
	}
	eventually(t, "both have new epochs", func() bool { return a.gateway.Epoch() != before[0] && b.gateway.Epoch() != before[1] })
	eventually(t, "all are bound under them", func() bool {
		u1, u2 := b.at(1), a.at(2)
		return len(u1) == 2 && len(u2) == 1 && u1[10].Gateway == a.gateway.Epoch() && u1[11].Gateway == b.gateway.Epoch() && u2[20].Gateway == b.gateway.Epoch()
	})
}

// The directory alone is emptied, as a bucket of it may be: who was in it is bound again
// under the same epoch.
func TestLostBucket(t *testing.T) {
	redis := servicestest.OwnRedis(t)
	a := newNode(t, 1, "test", redis.Address)
	p := a.login(1, 10)
	c := redistest.Client(t, redis.Address)
	eventually(t, "all buckets are known", func() bool { return len(c.Keys(t.Context(), "{test:directory:*").Val()) == 4096 })
	before := a.gateway.Epoch()
	for _, key := range c.Keys(t.Context(), "{test:directory:*").Val() {
		must(t, c.Del(t.Context(), key).Err())
	}
	p.hinted()
	if at := a.at(1)[10]; at.Gateway != before || a.gateway.Epoch() != before {
		t.Errorf("the device is at %v, the epoch was %x", at, before)
	}
}
