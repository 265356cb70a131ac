package gateway

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// strange is a push as transfer should not send it: change spoils a good one, of two
// PUSH frames (seqs 1 and 2) to the victim and its neighbour.
type strange struct {
	name    string
	change  func(*hop.Push)
	come    []protocol.Type // at the victim and at its neighbour
	absent  int
	counted map[string]uint64
}

// other has these bytes in place of the first frame.
func other(name string, b []byte) strange {
	return strange{name, func(p *hop.Push) {
		p.Frames[0] = hop.Span{Start: uint32(len(p.Blob)), End: uint32(len(p.Blob) + len(b))}
		p.Blob = append(p.Blob, b...)
	}, []protocol.Type{protocol.TypePush}, 0, badPush}
}

// unfit has lists that do not fit.
func unfit(name string, change func(*hop.Push)) strange {
	return strange{name, change, nil, 0, badPush}
}

var (
	badPush   = map[string]uint64{"hostile.push": 1}
	twoPushes = []protocol.Type{protocol.TypePush, protocol.TypePush}
)

var stranges = []strange{
	{"nothing strange", func(*hop.Push) {}, twoPushes, 0, nil},
	{"nothing at all", func(p *hop.Push) { *p = hop.Push{} }, nil, 0, nil},
	unfit("a frame behind the blob", func(p *hop.Push) { p.Frames[0].End = uint32(len(p.Blob)) + 1 }),
	unfit("a frame that begins at the end of all numbers", func(p *hop.Push) { p.Frames[1] = hop.Span{Start: 1<<32 - 1, End: 1<<32 - 1} }),
	unfit("a frame that ends before it begins", func(p *hop.Push) { p.Frames[1].End = p.Frames[1].Start - 1 }),
	unfit("receivers behind the connections", func(p *hop.Push) { p.Receivers[1].End = 3 }),
	unfit("receivers that end before they begin", func(p *hop.Push) { p.Receivers[0] = hop.Span{Start: 2, End: 1} }),
	unfit("more frames than receivers", func(p *hop.Push) { p.Receivers = p.Receivers[:1] }),
	unfit("more receivers than frames", func(p *hop.Push) { p.Frames = p.Frames[:1] }),
	unfit("everything, and lists that do not fit", func(p *hop.Push) { p.Everything, p.Blob = true, nil }),
	other("no bytes", nil),
	other("no frame", []byte{0, 0, 0, 2, 1, 2}),
	other("half a frame", pushFrame(3, 4, 1, 9)[:20]),
	other("two frames", append(pushFrame(3, 4, 1, 9), pushFrame(3, 4, 2, 9)...)),
	other("a frame and a byte", append(pushFrame(3, 4, 1, 9), 0)),
	other("a frame over the limit", protocol.Frame{Type: protocol.TypePush, Payload: make([]byte, protocol.MaxFrame)}.Append(nil)),
	other("a PUSH that cannot be read", protocol.Frame{Type: protocol.TypePush, Payload: []byte{1}}.Append(nil)),
	other("a HELLO", protocol.Hello{Version: 1}.AppendFrame(nil, 0)),
	other("a SEND", sendFrame(1, 0, "x")),
	other("a DONE", protocol.AppendEmpty(nil, protocol.TypeDone, 0)),
	other("a WELCOME", protocol.Welcome{User: 1}.AppendFrame(nil, 0)),
	other("an ERROR", protocol.Failure{Code: protocol.CodeBusy}.AppendError(nil, 0)),
	other("a CLOSE", close1),
	{"connections that are not there", func(p *hop.Push) { p.Conns = []uint64{0, 1<<64 - 1} }, nil, 4, map[string]uint64{"push.absent": 4}},
	{"one connection many times", func(p *hop.Push) { p.Conns[1] = p.Conns[0] }, nil, 0, nil}, // what comes is below
	{"thousands of connections", func(p *hop.Push) {
		for i := range uint64(5000) {
			p.Conns = append(p.Conns, 1<<40+i)
		}
		p.Receivers[0].End = uint32(len(p.Conns))
	}, twoPushes, 5000, map[string]uint64{"push.absent": 5000}},
	{"everything, alone", func(p *hop.Push) { *p = hop.Push{Everything: true} }, []protocol.Type{protocol.TypeHint}, 0, nil},
	{"everything, and frames", func(p *hop.Push) { p.Everything = true }, append(twoPushes[:2:2], protocol.TypeHint), 0, nil},
}

// Whatever transfer pushes: frames that are pushes come, nothing else does, it is
// counted and seldom logged, and the connections are served as before.
func TestGatewayBearsAHostileTransfer(t *testing.T) {
	const times = 3
	for _, c := range stranges {
		t.Run(c.name, func(t *testing.T) {
			h := newHostile(t)
			conns := []uint64{h.victim.conn, h.neighbour.conn}
			begin, before := time.Now(), h.Stats()
			for range times {
				p := pushOf([]delivery{{pushFrame(3, 1, 1, 9), nil}, {pushFrame(3, 1, 2, 9), nil}})
				p.Conns = slices.Clone(conns)
				p.Receivers = []hop.Span{{Start: 0, End: 2}, {Start: 0, End: 2}}
				c.change(p)
				if absent := h.Push(t.Context(), p); len(absent) != c.absent {
					t.Errorf("%d absent, want %d", len(absent), c.absent)
				}
				want := [][]protocol.Type{c.come, c.come}
				if c.name == "one connection many times" {
					want[0] = append(twoPushes[:2:2], twoPushes...)
				}
				for i, p := range []*peer{h.victim, h.neighbour} {
					for _, typ := range want[i] {
						f := p.next()
						var hint protocol.Cursor
						if f.Type != typ || typ == protocol.TypeHint && (hint.Decode(f.Payload) != nil || hint != protocol.Cursor{}) {
							t.Fatalf("came %#x %x, want %#x", f.Type, f.Payload, typ)
						}
					}
					p.nothing()
				}
			}
			want := maps.Clone(c.counted)
			for _, name := range []string{"hostile.push", "push.absent", "panics", "logic.failed"} {
				if n := h.stat(name) - before[name]; n != times*want[name] {
					t.Errorf("%s: counted %d, want %d", name, n, times*want[name])
				}
			}
			if n, seconds := h.lines.most(), int(time.Since(begin)/time.Second); n > 1+seconds || n == 0 && want["hostile.push"] > 0 {
				t.Errorf("one thing was logged %d times in %d s", n, seconds)
			}
			h.exchange(h.victim)
			h.exchange(h.neighbour)
		})
	}
}

func TestGatewayBearsStrangeKicks(t *testing.T) {
	h := newHostile(t)
	for _, c := range []struct {
		code, told protocol.Code
		counted    string
	}{
		{unlisted, unlisted, "close.other"},
		{protocol.CodeUnavailable, protocol.CodeUnavailable, "close.other"},
		{0, protocol.CodeInternal, "close.internal"},
		{1<<16 - 1, 1<<16 - 1, "close.other"},
	} {
		before := h.stat(c.counted)
		p := h.login(3)
		h.Kick(p.conn, c.code)
		h.Kick(p.conn, c.code+1) // the first one counts
		if code := p.closed(); code != c.told {
			t.Errorf("kicked with %v, told %v", c.code, code)
		}
		h.eventually("it is counted", func() bool { return h.stat(c.counted) == before+1 })
		h.Kick(p.conn, c.code) // gone
	}
	h.Kick(0, protocol.CodeReplaced)
	h.Kick(1<<64-1, protocol.CodeReplaced)
	h.exchange(h.neighbour)
}

// A push belongs to a batch by its context; from everywhere else it is written at
// once, however long the batches of its receivers take.
func TestOnlyPushesOfABatchWaitForIt(t *testing.T) {
	begin := func() (st *stage, p *peer, batches chan context.Context) {
		l := newLogic()
		l.answer = ackSend
		batches = make(chan context.Context)
		l.within(func(ctx context.Context) { batches <- ctx; <-batches })
		st = newStage(t, l, Config{Lanes: 1})
		p = st.login(1)
		p.send(sendFrame(2, 1, "x"))
		return st, p, batches
	}
	_, _, others := begin()
	foreign := <-others
	defer func() { others <- nil }()
	st, p, batches := begin()
	late := <-batches
	batches <- nil
	p.next()
	st.eventually("the batch is over", func() bool { return !st.within(late) })
	push := func(ctx context.Context, seq uint64) {
		st.Push(ctx, pushOf([]delivery{{pushFrame(2, 1, seq, 10), []uint64{p.conn}}}))
	}
	comes := func(what string, want protocol.Type) {
		t.Helper()
		if f := p.next(); f.Type != want {
			t.Fatalf("%s: came %#x, want %#x", what, f.Type, want)
		}
	}
	push(late, 1)
	comes("of a batch that is over", protocol.TypePush)

	p.send(sendFrame(2, 2, "x"))
	during := <-batches
	push(t.Context(), 2)
	comes("of nobody, during a batch", protocol.TypePush)
	push(foreign, 3)
	comes("of another gateway, during a batch", protocol.TypePush)

	// What the batch has put there does not hold up what comes beside it.
	st.settled()
	push(during, 4)
	p.send(protocol.AppendEmpty(nil, protocol.TypePing, 9))
	comes("beside a batch", protocol.TypePong)
	comes("of the batch", protocol.TypePush)
	batches <- nil
	comes("at the end of the batch", protocol.TypeSendAck)
}
