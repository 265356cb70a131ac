package gateway

import (
	"context"
	"runtime/debug"
	"sync"

	"gannet/protocol"
)

// readers carry what needs no order to logic, beside the lanes, so that a page
// of history never stands in the way of a message: logins, SYNC, HISTORY, and
// ranges to be pushed again.
type readers struct {
	gateway *Gateway
	jobs    chan job
	wg      sync.WaitGroup
}

type job struct {
	session *session
	frame   protocol.Frame // its payload is the job's own
}

func newReaders(g *Gateway) *readers {
	return &readers{gateway: g, jobs: make(chan job, readQueue)}
}

// start runs n readers until stop is closed.
func (r *readers) start(n int, stop <-chan struct{}) {
	for range n {
		r.wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case j := <-r.jobs:
					r.do(j)
				}
			}
		})
	}
}

func (r *readers) queue(s *session, f protocol.Frame) bool {
	f.Payload = append([]byte(nil), f.Payload...)
	select {
	case r.jobs <- job{s, f}:
		return true
	default:
		return false
	}
}

// login takes a HELLO to logic.
func (r *readers) login(s *session, f protocol.Frame) {
	if !r.queue(s, f) {
		r.gateway.counters.refusedBusy.Add(1)
		s.closeAfter(protocol.CodeLoginUnavailable, drainDelay())
	}
}

// read takes a SYNC or HISTORY to logic.
func (r *readers) read(s *session, f protocol.Frame) {
	if s.reads.Add(1) > maxReadsInFlight {
		s.reads.Add(-1)
		r.gateway.counters.refusedTooMany.Add(1)
		s.fail(f.Request, protocol.CodeTooManyRequests)
		return
	}
	if !r.queue(s, f) {
		s.reads.Add(-1)
		r.gateway.counters.refusedBusy.Add(1)
		s.fail(f.Request, protocol.CodeBusy)
	}
}

// redeliver asks logic for a range once more. When the queue is full the wheel
// comes again.
func (r *readers) redeliver(s *session, again protocol.Range) {
	r.queue(s, protocol.Frame{Type: protocol.TypeRedeliver, Payload: again.AppendPayload(nil)})
}

func (r *readers) do(j job) {
	s, g := j.session, r.gateway
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("logic panicked", "frame", j.frame.Type, "panic", p, "stack", string(debug.Stack()))
			s.close(protocol.CodeInternal)
		}
	}()
	switch j.frame.Type {
	case protocol.TypeHello:
		r.doLogin(s, j.frame)
	case protocol.TypeRedeliver:
		reply := g.logic.Query(g.ctx, protocol.Request{Identity: s.identity(), Frame: j.frame})
		s.pushAgain(reply.Bytes)
	default:
		reply := g.logic.Query(g.ctx, protocol.Request{Identity: s.identity(), Frame: j.frame})
		s.reads.Add(-1)
		s.reply(reply.Bytes)
	}
}

func (r *readers) doLogin(s *session, f protocol.Frame) {
	g := r.gateway
	var hello protocol.Hello
	if hello.Decode(f.Payload) != nil {
		s.close(protocol.CodeBadFrame)
		return
	}
	id := protocol.Identity{Gateway: g.id, Conn: s.id}
	login, code := g.logic.Login(g.ctx, id, f.Request, &hello)
	if code != 0 {
		s.close(code)
		return
	}
	if !s.welcome(login, hello.Device) {
		id.User, id.Device = login.User, hello.Device
		g.logic.Logout(context.WithoutCancel(g.ctx), id)
	}
}

// pushAgain puts the PUSH frames of a range that was not acked into the outbox.
// If they do not fit they come again later, or wait in the store.
func (s *session) pushAgain(pushes []byte) {
	if len(pushes) == 0 {
		return
	}
	s.mu.Lock()
	queue := s.phase.Load() == phaseOnline && s.outbox.push(pushes, false) && s.enqueue()
	s.mu.Unlock()
	if queue {
		s.gateway.writerOf(s).add(s)
	}
}
