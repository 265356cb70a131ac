package gateway

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"gannet/protocol"
)

// lane carries the SEND, PUSHACK and READ frames of its partitions to logic, in
// order, one batch at a time: while one is under way the next one fills. There
// is no timer; an idle lane sends a frame at once.
type lane struct {
	index   int
	gateway *Gateway
	wake    chan struct{} // holds one token while filling may not be empty

	mu      sync.Mutex
	filling *batch
	spare   *batch

	// For run alone.
	answered answered
	replies  []protocol.Reply // of the last batch; the memory is used again
}

// batch is requests, who sent them, and their payloads in one piece of memory.
type batch struct {
	requests []protocol.Request
	sessions []*session
	payloads []byte
}

func newLane(g *Gateway, index int) *lane {
	return &lane{index: index, gateway: g, wake: make(chan struct{}, 1), filling: &batch{}, spare: &batch{}}
}

// write hands a frame that concerns a conversation to the lane of its partition.
func (g *Gateway) write(s *session, f protocol.Frame) {
	target, _ := protocol.PeekTarget(f.Payload) // logic refuses what has none
	if f.Type == protocol.TypePushAck {
		var ack protocol.Cursor
		if ack.Decode(f.Payload) == nil {
			s.acked(target, ack.Seq)
		}
	}
	if s.writes.Add(1) > maxWritesInFlight {
		s.writes.Add(-1)
		g.counters.refusedTooMany.Add(1)
		s.fail(f.Request, protocol.CodeTooManyRequests)
		return
	}
	partition := target.Conversation(s.user).Partition()
	if !g.lanes[partition%len(g.lanes)].add(s, f) {
		s.writes.Add(-1)
		g.counters.refusedBusy.Add(1)
		s.fail(f.Request, protocol.CodeBusy)
	}
}

// add copies the frame into the batch that is filling; false: the lane is full.
func (l *lane) add(s *session, f protocol.Frame) bool {
	l.mu.Lock()
	b := l.filling
	if len(b.payloads)+len(f.Payload) > laneBytes || len(b.requests) == laneRequests {
		l.mu.Unlock()
		return false
	}
	start := len(b.payloads)
	b.payloads = append(b.payloads, f.Payload...)
	f.Payload = b.payloads[start:len(b.payloads):len(b.payloads)]
	b.requests = append(b.requests, protocol.Request{Identity: s.identity(), Frame: f})
	b.sessions = append(b.sessions, s)
	first := len(b.requests) == 1
	l.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// next swaps the batches; nil: nothing waits.
func (l *lane) next() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.filling.requests) == 0 {
		return nil
	}
	b := l.filling
	l.filling, l.spare = l.spare, nil
	return b
}

// done takes a batch back for the next filling.
func (l *lane) done(b *batch) {
	const keep = 1 << 20 // what one burst needed is not kept for ever
	if cap(b.payloads) > keep {
		b.payloads = nil
	}
	clear(b.requests)
	clear(b.sessions)
	b.requests, b.sessions, b.payloads = b.requests[:0], b.sessions[:0], b.payloads[:0]
	l.mu.Lock()
	l.spare = b
	l.mu.Unlock()
}

// idle says that nothing waits and nothing is under way.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.filling.requests) == 0 && l.spare != nil
}

func (l *lane) run(stop <-chan struct{}) {
	var touched []*session
	for {
		select {
		case <-stop:
			return
		case <-l.wake:
		}
		for {
			b := l.next()
			room := batchWrites
			if b != nil {
				l.handle(b)
				room -= len(b.requests) // about as many pushes
				l.done(b)
			} else if l.answered.empty() {
				break
			}
			if !l.gateway.local {
				room = len(l.answered.list) // a slow call should not hold up replies
			}
			touched = l.answered.take(touched[:0], room, time.Now())
			l.gateway.hold(touched)
			for _, w := range l.gateway.writers {
				w.settle()
			}
			clear(touched)
			if !l.answered.empty() {
				runtime.Gosched() // so that what has arrived comes first
			}
		}
	}
}

// handle has logic carry out a batch and puts the replies into the outboxes.
func (l *lane) handle(b *batch) {
	g := l.gateway
	g.counters.batches.Add(1)
	g.counters.requests.Add(uint64(len(b.requests)))
	g.busy.Add(1)
	l.replies = l.forward(b, l.replies[:0])
	g.busy.Add(-1)
	b.answer(l.replies, &l.answered)
	clear(l.replies)
}

// forward calls logic. A panic there is a bug that must not end the lane: the
// connections of the batch are closed with internal, and clients send again what
// was not acked.
func (l *lane) forward(b *batch, replies []protocol.Reply) (out []protocol.Reply) {
	defer func() {
		if p := recover(); p != nil {
			l.gateway.log.Error("logic panicked", "lane", l.index, "panic", p, "stack", string(debug.Stack()))
			for _, s := range b.sessions {
				s.close(protocol.CodeInternal)
			}
			out = nil
		}
	}()
	return l.gateway.logic.Forward(context.WithoutCancel(l.gateway.ctx), l.index, b.requests, replies)
}

// answer puts the replies, which come in the order of their requests, into the
// outboxes and notes the sessions that have to be written to for it.
func (b *batch) answer(replies []protocol.Reply, waiting *answered) {
	for _, s := range b.sessions {
		s.writes.Add(-1)
	}
	now := time.Now()
	at := 0
	for _, r := range replies {
		for at < len(b.sessions) && b.sessions[at].id != r.Conn {
			at++
		}
		if at == len(b.sessions) {
			panic("gateway: a reply without its request")
		}
		if b.sessions[at].put(r.Bytes) {
			waiting.add(b.sessions[at], now)
		}
		at++
	}
}
