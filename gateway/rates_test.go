package gateway

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/internal/limiter"
	"gannet/protocol"
)

// limitedStage is a stage with limits, whose limiter goes by the clock that pass
// moves.
type limitedStage struct {
	*stage
	clock atomic.Int64
}

func newLimitedStage(t *testing.T, l *scriptedLogic, rates limiter.Rates, frames limiter.Rate) *limitedStage {
	st := &limitedStage{}
	start := time.Unix(1_700_000_000, 0)
	memory := limiter.NewMemory(rates, func() time.Time { return start.Add(time.Duration(st.clock.Load())) })
	st.stage = newStage(t, l, Config{Lanes: 1, Limiter: memory, Frames: frames})
	return st
}

func (st *limitedStage) pass(d time.Duration) {
	st.clock.Add(int64(d))
	st.turn(d)
}

// limitedBy reads an ERROR rate_limited that answers the request and names the limit,
// and gives its retry_after.
func (p *peer) limitedBy(request uint32, text string) time.Duration {
	p.t.Helper()
	f := p.next()
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil || f.Type != protocol.TypeError || f.Request != request || m.Code != protocol.CodeRateLimited {
		p.t.Fatalf("answered %#x %v to %d (%v), want rate_limited to %d", f.Type, m.Code, f.Request, err, request)
	}
	if !strings.Contains(string(m.Text), text) || m.RetryAfter == 0 {
		p.t.Fatalf("the text is %q after %d ms, and does not speak of %s", m.Text, m.RetryAfter, text)
	}
	return time.Duration(m.RetryAfter) * time.Millisecond
}

func (p *peer) answered(request uint32, want protocol.Type) {
	p.t.Helper()
	if f := p.next(); f.Type != want || f.Request != request {
		p.t.Fatalf("answered %#x to %d, want %#x to %d", f.Type, f.Request, want, request)
	}
}

func TestSendsOverALimitHoldThoseBehind(t *testing.T) {
	for name, c := range map[string]struct {
		kind limiter.Kind
		rate limiter.Rate
		body string
		text string
	}{
		"messages": {limiter.Sends, limiter.Rate{PerSecond: 20, Burst: 3}, "hello", "messages per second of this user"},
		"bytes":    {limiter.SendBytes, limiter.Rate{PerSecond: 200, Burst: 30}, "ten  bytes", "bytes of messages per second of this user"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogic()
			l.answer = ackSend
			var rates limiter.Rates
			rates[c.kind] = c.rate
			st := newLimitedStage(t, l, rates, limiter.Rate{})
			p, other, twin := st.login(1), st.login(2), st.login(1)
			for id := uint64(1); id <= 3; id++ {
				p.send(sendFrame(9, id, c.body))
				p.answered(uint32(id), protocol.TypeSendAck)
			}
			p.send(sendFrame(9, 4, c.body))
			wait := p.limitedBy(4, c.text)
			if wait != time.Duration(minHoldTicks)*tick {
				t.Fatalf("the hold is said to last %v", wait)
			}
			other.send(sendFrame(9, 1, c.body))
			other.answered(1, protocol.TypeSendAck)

			// The tokens are there again long before the hold is over: the other device
			// gets one, this one none.
			st.pass(100 * time.Millisecond)
			twin.send(sendFrame(9, 1, c.body))
			twin.answered(1, protocol.TypeSendAck)
			p.send(sendFrame(9, 5, ""))
			left := p.limitedBy(5, c.text)
			if left > wait-100*time.Millisecond {
				t.Fatalf("after 100 ms of %v, %v are said to be left", wait, left)
			}
			p.send(protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: 9}, Seq: 1}.AppendPushAck(nil, 0))
			p.alive()

			st.pass(left)
			for id := uint64(4); id <= 5; id++ {
				p.send(sendFrame(9, id, c.body))
				p.answered(uint32(id), protocol.TypeSendAck)
			}
			if user, held := st.stat("refused.user_rate"), st.stat("refused.held"); user != 1 || held != 1 {
				t.Fatalf("%d refused over the limit and %d on hold", user, held)
			}
		})
	}
}

// TestTokensTakenAheadAreNoMoreThanTheRest: a connection that takes tokens in blocks
// sends exactly as much as its user may.
func TestTokensTakenAheadAreNoMoreThanTheRest(t *testing.T) {
	const burst, bytes = 10 * blockShare, 200 * blockShare
	for name, c := range map[string]struct {
		rates limiter.Rates
		body  string
		want  int
	}{
		"messages": {limiter.Rates{limiter.Sends: {PerSecond: 1, Burst: burst}}, "", burst},
		"bytes":    {limiter.Rates{limiter.SendBytes: {PerSecond: 1, Burst: bytes}}, "seven..", bytes / 7},
		"both":     {limiter.Rates{limiter.Sends: {PerSecond: 1, Burst: burst}, limiter.SendBytes: {PerSecond: 1, Burst: bytes}}, "twenty bytes long...", burst},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogic()
			l.answer = ackSend
			st := newLimitedStage(t, l, c.rates, limiter.Rate{})
			p := st.login(1)
			for id := 1; id <= c.want; id++ {
				p.send(sendFrame(9, uint64(id), c.body))
				p.answered(uint32(id), protocol.TypeSendAck)
			}
			p.send(sendFrame(9, uint64(c.want+1), c.body))
			p.limitedBy(uint32(c.want+1), "of this user")
		})
	}
}

// TestAHoldNearItsEndHoldsOn: the SEND that is refused last before the end of a hold
// is not overtaken by the next one, which comes right behind it.
func TestAHoldNearItsEndHoldsOn(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	var rates limiter.Rates
	rates[limiter.Sends] = limiter.Rate{PerSecond: 100, Burst: 1}
	st := newLimitedStage(t, l, rates, limiter.Rate{})
	p := st.login(1)
	p.send(sendFrame(9, 1, ""))
	p.answered(1, protocol.TypeSendAck)
	p.send(sendFrame(9, 2, ""))
	wait := p.limitedBy(2, "messages")
	st.pass(wait - tick)
	p.send(sendFrame(9, 2, ""))
	if left := p.limitedBy(2, "messages"); left != minHeldTicks*tick {
		t.Fatalf("a tick before the end %v are said to be left", left)
	}
	st.pass(tick)
	p.send(sendFrame(9, 3, ""))
	left := p.limitedBy(3, "messages")
	st.pass(left)
	p.send(sendFrame(9, 2, ""))
	p.answered(2, protocol.TypeSendAck)
}

func TestQueriesOverALimit(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	l.does(misdeed{query: func(q *hop.Query) ([]byte, error) {
		f, _, _ := protocol.Split(q.Frame, protocol.MaxFrame)
		if f.Type == protocol.TypeHistory {
			page := protocol.Messages{}
			return page.Finish(page.AppendFrame(nil, f.Request), 0), nil
		}
		page := protocol.Synced{}
		return page.Finish(page.AppendFrame(nil, f.Request), 0), nil
	}})
	var rates limiter.Rates
	rates[limiter.Syncs] = limiter.Rate{PerSecond: 2, Burst: 2}
	rates[limiter.Histories] = limiter.Rate{PerSecond: 10, Burst: 3}
	st := newLimitedStage(t, l, rates, limiter.Rate{})
	p := st.login(1)
	for range 2 {
		p.send(protocol.Sync{}.AppendFrame(nil, 5))
		p.answered(5, protocol.TypeSynced)
	}
	p.send(protocol.Sync{}.AppendFrame(nil, 6))
	if wait := p.limitedBy(6, "SYNC"); wait != 500*time.Millisecond {
		t.Fatalf("a SYNC is said to be allowed after %v", wait)
	}
	for range 3 {
		p.send(protocol.History{}.AppendFrame(nil, 7))
		p.answered(7, protocol.TypeMessages)
	}
	p.send(protocol.History{}.AppendFrame(nil, 8))
	if wait := p.limitedBy(8, "HISTORY"); wait != 100*time.Millisecond {
		t.Fatalf("a HISTORY is said to be allowed after %v", wait)
	}
	p.send(sendFrame(9, 1, "")) // nothing holds messages
	p.answered(1, protocol.TypeSendAck)
	st.pass(500 * time.Millisecond)
	p.send(protocol.Sync{}.AppendFrame(nil, 9))
	p.answered(9, protocol.TypeSynced)
	if n := st.stat("refused.user_rate"); n != 2 {
		t.Fatalf("%d are counted", n)
	}
}

// TestWholeWindowsAfterEachWaitAreNoDefiance has a client that sends everything that
// was refused again after each wait, as SPEC.md allows: it is not closed, and its
// messages keep their order.
func TestWholeWindowsAfterEachWaitAreNoDefiance(t *testing.T) {
	const messages, window = 5000, protocol.MaxUnacked
	l := newLogic()
	l.answer = ackSend
	rates := limiter.DefaultRates()
	st := newLimitedStage(t, l, rates, limiter.Rate{PerSecond: 1000, Burst: 4096})
	p := st.login(1)
	acked, passed := uint64(0), time.Duration(0)
	for acked < messages {
		batch := []byte(nil)
		last := min(acked+window, messages)
		for id := acked + 1; id <= last; id++ {
			batch = append(batch, sendFrame(9, id, "hello")...)
		}
		p.send(batch)
		wait := time.Duration(0)
		for id, answers := uint64(0), last-acked; answers > 0; answers-- {
			f := p.next()
			switch f.Type {
			case protocol.TypeSendAck:
				if id = uint64(f.Request); id != acked+1 {
					t.Fatalf("message %d was taken after %d", id, acked)
				}
				acked = id
			case protocol.TypeError:
				var m protocol.Failure
				if m.Decode(f.Payload) != nil || m.Code != protocol.CodeRateLimited {
					t.Fatalf("refused with %v", m.Code)
				}
				wait = max(wait, time.Duration(m.RetryAfter)*time.Millisecond)
			default:
				t.Fatalf("answered %#x %s, stats %v", f.Type, f.Payload, st.Stats())
			}
		}
		st.pass((wait + tick - 1) / tick * tick)
		passed += wait
		p.alive()
	}
	for i, r := range l.requests() {
		if r.Frame.Request != uint32(i+1) {
			t.Fatalf("logic got %d as number %d", r.Frame.Request, i+1)
		}
	}
	if passed < 10*time.Second || passed > 40*time.Second {
		t.Fatalf("%d messages at 200 a second after 2048 took %v", messages, passed)
	}
}

// TestHoldsGrow: who is refused again right after a hold waits for twice as long, and
// who has kept within the limit for a while does not any more.
func TestHoldsGrow(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	var rates limiter.Rates
	rates[limiter.Sends] = limiter.Rate{PerSecond: 100, Burst: 1}
	st := newLimitedStage(t, l, rates, limiter.Rate{})
	p := st.login(1)
	id := uint64(0)
	refusedFor := func() time.Duration {
		t.Helper()
		id++
		p.send(sendFrame(9, id, ""))
		p.answered(uint32(id), protocol.TypeSendAck)
		id++
		p.send(sendFrame(9, id, ""))
		return p.limitedBy(uint32(id), "messages")
	}
	least, most := time.Duration(minHoldTicks)*tick, time.Duration(maxHoldTicks)*tick
	for want := least; want < 4*most; want *= 2 {
		if got := refusedFor(); got != min(want, most) {
			t.Fatalf("the hold lasts %v, want %v", got, min(want, most))
		}
		st.pass(min(want, most))
	}
	st.pass(most + tick)
	if got := refusedFor(); got != least {
		t.Fatalf("long after the last one a hold lasts %v, want %v", got, least)
	}
}

// TestAMessageOverTheBytesCostsNoMessage: of the two limits the one that was not to
// blame is not charged.
func TestAMessageOverTheBytesCostsNoMessage(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	var rates limiter.Rates
	rates[limiter.Sends] = limiter.Rate{PerSecond: 0.001, Burst: 3}
	rates[limiter.SendBytes] = limiter.Rate{PerSecond: 100, Burst: 10}
	st := newLimitedStage(t, l, rates, limiter.Rate{})
	p := st.login(1)
	for id := uint64(1); id <= 3; id++ {
		p.send(sendFrame(9, id, "ten  bytes"))
		p.answered(uint32(id), protocol.TypeSendAck)
		p.send(sendFrame(9, id+10, "ten  bytes"))
		if id < 3 {
			st.pass(p.limitedBy(uint32(id+10), "bytes of messages"))
		}
	}
	p.limitedBy(13, "over the limit of messages")
}
