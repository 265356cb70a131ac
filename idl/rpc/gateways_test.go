package rpc

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// gatewayStage is a client and a gateway.
type gatewayStage struct {
	*script
	registry *registry
	server   *Server
	client   *Gateways
	log      *quiet
}

func newGatewayStage(t testing.TB) *gatewayStage {
	t.Helper()
	st := &gatewayStage{script: newScript(), registry: newRegistry()}
	log, lines := newLog()
	st.log = lines
	st.client = NewGateways(st.registry, log)
	st.mu = &st.client.calls.peers.mu
	st.server = stopping(t, ServeGateway(listen(t), st.script, config()))
	st.registry.at[self] = st.server.Address()
	t.Cleanup(st.client.Close)
	return st
}

// push waits for the answer.
func (st *gatewayStage) push(t testing.TB, epoch uint64, pushes ...*hop.Push) (absent []uint64, err error) {
	t.Helper()
	done := make(chan struct{})
	st.client.Push(t.Context(), epoch, pushes, func(a []uint64, e error) {
		absent, err = a, e
		close(done) // panics the second time
	})
	<-done
	return absent, err
}

func span(start, end uint32) hop.Span { return hop.Span{Start: start, End: end} }

func TestPush(t *testing.T) {
	st := newGatewayStage(t)
	st.absent = []uint64{1<<63 | 6}
	push := hop.Push{
		Blob: []byte("first-second"), Frames: []hop.Span{span(0, 5), span(6, 12), span(0, 5)},
		Receivers: []hop.Span{span(0, 2), span(0, 2), span(2, 3)}, Conns: []uint64{5, 1<<63 | 6, 7},
	}
	for _, p := range []hop.Push{push, {Everything: true}} {
		absent, err := st.push(t, self, &p)
		if err != nil && p.Len() > 0 || p.Len() > 0 && !slices.Equal(absent, st.absent) {
			t.Errorf("absent %v, %v", absent, err)
		}
		got := st.pushes[len(st.pushes)-1]
		if !sameDeliveries(&got, &p) || got.Everything != p.Everything {
			t.Errorf("arrived as %+v", got)
		}
	}
}

// sameDeliveries says whether two pushes bring the same frames to the same connections.
func sameDeliveries(a, b *hop.Push) bool { return reflect.DeepEqual(deliveries(a), deliveries(b)) }

func deliveries(list ...*hop.Push) (all [][2]any) {
	for _, p := range list {
		for i := range p.Len() {
			for _, conn := range p.To(i) {
				all = append(all, [2]any{string(p.Bytes(i)), conn})
			}
		}
	}
	return all
}

// Bytes of other gateways do not travel.
func TestPushLeavesForeignBytes(t *testing.T) {
	st := newGatewayStage(t)
	push := hop.Push{Blob: append(make([]byte, 100_000), "frame"...), Frames: []hop.Span{span(100_000, 100_005)}, Receivers: []hop.Span{span(0, 1)}, Conns: []uint64{5}}
	if _, err := st.push(t, self, &push); err != nil {
		t.Fatal(err)
	}
	if got := st.pushes[0]; string(got.Blob) != "frame" || !sameDeliveries(&got, &push) {
		t.Errorf("%d bytes arrived", len(got.Blob))
	}
}

// A push of any size arrives in parts of a bounded one, in order.
func TestParts(t *testing.T) {
	for _, c := range []struct{ frames, size, receivers, room, least int }{
		{1, 10, 1, 1000, 1}, {100, 10, 10, 1000, 10}, {3, 100, 1000, 1000, 20}, {4, 5000, 2, 1000, 4}, {2, 10, 0, 1000, 1}, {0, 0, 0, 1000, 1},
	} {
		push := &hop.Push{Everything: true}
		for i := range c.frames {
			to := make([]uint64, c.receivers)
			for j := range to {
				to[j] = uint64(i*c.receivers + j)
			}
			addTo(push, slices.Repeat([]byte{byte(i)}, c.size), to)
		}
		var got []*hop.Push
		for p := range parts([]*hop.Push{push}, c.room) {
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			if n := len(p.Blob) + 8*len(p.Conns) + 16*p.Len(); n > max(c.room, c.size+16+8) {
				t.Errorf("%+v: a part takes %d", c, n)
			}
			if p.Everything != (len(got) == 0) {
				t.Errorf("%+v: part %d says everything: %v", c, len(got), p.Everything)
			}
			got = append(got, p)
		}
		if !reflect.DeepEqual(deliveries(got...), deliveries(push)) || len(got) < c.least {
			t.Errorf("%+v: %d parts", c, len(got))
		}
	}
}

// Only the registry ends an epoch. A gateway that lives another life by now, or is not
// known, is pushed to again.
func TestPushToWhom(t *testing.T) {
	st := newGatewayStage(t)
	st.registry.change(func(r *registry) { r.at[8] = r.at[self] })
	push := &hop.Push{Everything: true}
	if _, err := st.push(t, 8, push); !errors.Is(err, errOther) || errors.Is(err, transfer.ErrEnded) {
		t.Errorf("another life: %v", err)
	}
	if _, err := st.push(t, 10, push); !errors.Is(err, errUnknown) {
		t.Errorf("an epoch that nobody knows: %v", err)
	}
	if len(st.pushes) != 0 || st.server.Stats()["other"] != 1 {
		t.Errorf("%d pushes arrived, %v", len(st.pushes), st.server.Stats())
	}
	st.registry.change(func(r *registry) { r.at[11] = "127.0.0.1:1" })
	if _, err := st.push(t, 11, push); err == nil || errors.Is(err, transfer.ErrEnded) {
		t.Errorf("a gateway that does not answer: %v", err)
	}
}

// While a call is under way, all others of its gateway wait for one.
func TestKicksGather(t *testing.T) {
	const n = 50
	st := newGatewayStage(t)
	st.client.calls.try = callTimeout // on a machine that is busy too
	st.entered, st.gate = make(chan struct{}), make(chan struct{})
	calls := counted(st.server.Stats, "calls")
	var all sync.WaitGroup
	kick := func(conn uint64) {
		all.Go(func() {
			if err := st.client.Kick(t.Context(), hop.Address{Gateway: self, Conn: conn}, protocol.CodeReplaced); err != nil {
				t.Error(err)
			}
		})
	}
	kick(1)
	<-st.entered
	for conn := uint64(2); conn <= n; conn++ {
		kick(conn)
	}
	eventually(t, "all wait", func() bool {
		st.client.kicks.mu.Lock()
		defer st.client.kicks.mu.Unlock()
		next := st.client.kicks.underWay[self]
		return next != nil && len(next.conns) == n-1
	})
	st.gate <- struct{}{}
	for range n - 1 {
		<-st.entered
		st.gate <- struct{}{}
	}
	all.Wait()
	if len(st.kicked) != n || calls() != 2 {
		t.Errorf("%d connections were closed in %d calls", len(st.kicked), calls())
	}
}
