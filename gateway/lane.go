package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"gannet/internal/hop"
	"gannet/protocol"
)

// lane carries the SEND, PUSHACK and READ frames of a queue to logic, in order, one
// batch at a time: while one is under way the next ones fill. There is no timer; an
// idle lane sends a frame at once. Each lane has a goroutine, on which logic works
// where it is in this process.
type lane struct {
	index   int
	gateway *Gateway
	ctx     context.Context // of the calls: see withinBatch
	awake   chan struct{}   // holds one token while waiting may not be empty

	carrying atomic.Bool // a batch is under way, at whose end the writers are woken

	mu       sync.Mutex
	waiting  []*filling // in order; all but the last are full
	bytes    int        // of frames in waiting
	frames   int        // likewise
	spare    []*filling
	underWay bool
	carried  uint64 // batches that are done

	// Of the lane's goroutine.
	answered []bool     // of each frame of the batch
	touched  []*session // to be written to
}

// filling is a batch and the sessions of its frames.
type filling struct {
	batch    hop.Forward
	sessions []*session
}

func newLane(g *Gateway, index int) *lane {
	l := &lane{
		index: index, gateway: g,
		awake: make(chan struct{}, 1),
	}
	l.ctx = context.WithValue(g.ctx, withinBatch{}, l)
	return l
}

// withinBatch is the key under which the context of a Forward carries its lane. A
// push that comes with that context, before Forward returns, is a push of the batch:
// it waits for the batch's answers, so that one write carries both. A call that has
// travelled between processes has lost the context, and is written at once.
type withinBatch struct{}

// within says whether the context is that of a batch of this gateway that is under
// way. What is on the writers' lists by then is written to at its end.
func (g *Gateway) within(ctx context.Context) bool {
	l, _ := ctx.Value(withinBatch{}).(*lane)
	return l != nil && l.gateway == g && l.carrying.Load()
}

// add copies an encoded frame into the batch that is filling; false: the lane is
// full.
func (l *lane) add(s *session, frame []byte) bool {
	l.mu.Lock()
	if l.bytes+len(frame) > laneBytes || l.frames == laneFrames {
		l.mu.Unlock()
		return false
	}
	l.bytes += len(frame)
	l.frames++
	f := l.filling(len(frame))
	f.batch.Add(s.id, s.user, s.device, frame)
	f.sessions = append(f.sessions, s)
	first := l.frames == 1
	l.mu.Unlock()
	if first {
		select {
		case l.awake <- struct{}{}:
		default:
		}
	}
	return true
}

// filling gives the batch that has room for so many bytes more. mu is held.
func (l *lane) filling(size int) *filling {
	if n := len(l.waiting); n > 0 {
		if f := l.waiting[n-1]; len(f.batch.Frames)+size <= batchBytes {
			return f
		}
	}
	var f *filling
	if n := len(l.spare); n > 0 {
		f, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		f = &filling{batch: hop.Forward{Gateway: l.gateway.epoch, Queue: l.index}}
	}
	l.waiting = append(l.waiting, f)
	return f
}

// next takes the oldest batch; nil: nothing waits.
func (l *lane) next() *filling {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return nil
	}
	f := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	l.bytes -= len(f.batch.Frames)
	l.frames -= f.batch.Len()
	l.underWay = true
	return f
}

// done takes a batch back to be filled again.
func (l *lane) done(f *filling) {
	clear(f.sessions)
	f.sessions = f.sessions[:0]
	f.batch.Reset()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay = false
	l.carried++
	if len(l.spare) < laneSpare {
		l.spare = append(l.spare, f)
	}
}

// newest gives the number of the batch that has the newest frame, and reached says
// whether that many are done.
func (l *lane) newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.carried + uint64(len(l.waiting))
	if l.underWay {
		n++
	}
	return n
}

func (l *lane) reached(batch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.carried >= batch
}

func (l *lane) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-l.awake:
		}
		for f := l.next(); f != nil; f = l.next() {
			l.carry(f)
			l.done(f)
		}
	}
}

// carry has logic carry out a batch, puts the answers into the outboxes and wakes
// the writers, for the pushes of the batch too.
func (l *lane) carry(f *filling) {
	g := l.gateway
	l.carrying.Store(true)
	defer l.end(f)
	g.counters.batches.Add(1)
	g.counters.requests.Add(uint64(f.batch.Len()))
	answers, err := l.forward(&f.batch)
	if err == nil {
		err = answers.Check(f.batch.Len())
	}
	for _, s := range f.sessions {
		s.writes.Add(-1)
	}
	l.answer(f, &answers, err)
}

// end has everybody written to whom the batch concerns. A panic on the way here is a
// bug of this batch alone; its sessions are closed, for nobody knows which of their
// frames were answered.
func (l *lane) end(f *filling) {
	g := l.gateway
	if cause := recover(); cause != nil {
		g.panicked("lane", cause)
		for _, s := range f.sessions {
			s.close(protocol.CodeInternal)
		}
	}
	l.carrying.Store(false) // before the writers are woken: see within
	g.writers.add(l.touched...)
	g.writers.wake()
	clear(l.touched)
	l.touched = l.touched[:0]
}

// errPanic is what a call that panicked gives: a bug that concerns this call alone.
var errPanic = errors.New("gateway: logic panicked")

// forward calls logic.
func (l *lane) forward(batch *hop.Forward) (answers hop.Answers, err error) {
	defer l.gateway.surviveLogic(&err)
	return l.gateway.logic.Forward(l.ctx, batch)
}

// surviveLogic is deferred around calls of logic: a panic there is an error like
// any other.
func (g *Gateway) surviveLogic(err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	*err = fmt.Errorf("%w: %v", errPanic, cause)
	g.panicked("logic", cause)
}

// answer puts the answers into the outboxes. Whoever waits for one that did not
// come, or is none, hears unavailable: the frame may have been carried out or not.
func (l *lane) answer(f *filling, answers *hop.Answers, err error) {
	g := l.gateway
	n := f.batch.Len()
	wrong := 0
	l.answered = append(l.answered[:0], make([]bool, n)...)
	if err == nil {
		for i := range answers.Of {
			of := int(answers.Of[i])
			if b, frame := answers.Bytes(i), f.batch.Bytes(of); answersFrame(frame, b) {
				l.put(f.sessions[of], b)
				l.answered[of] = true
			} else if !wantsAnswer(frame) {
				wrong++ // of the others it is counted that they lack one
			}
		}
	}
	for i := range n {
		if frame := f.batch.Bytes(i); !l.answered[i] && wantsAnswer(frame) {
			wrong++
			l.put(f.sessions[i], failure(requestOf(frame), protocol.CodeUnavailable, busyRetry))
		}
	}
	switch {
	case err != nil:
		g.counters.logicFailed.Add(1)
		if g.said.logic.Now() {
			g.log.Warn("gateway: a batch was not answered", "queue", l.index, "frames", n, "error", err)
		}
	case wrong > 0:
		g.counters.logicUnanswered.Add(uint64(wrong))
		if g.said.answers.Now() {
			g.log.Error("gateway: logic left frames without an answer, or gave one that is none", "queue", l.index, "frames", n, "of them", wrong)
		}
	}
}

func (l *lane) put(s *session, b []byte) {
	defer s.survive("answer")
	if s.put(b) {
		l.touched = append(l.touched, s)
	}
}

// requestOf reads the request number off a whole encoded frame.
func requestOf(frame []byte) uint32 {
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	return f.Request
}

// wantsAnswer says whether the sender of a frame waits for an answer.
func wantsAnswer(frame []byte) bool {
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	return f.Type == protocol.TypeSend || f.Request != 0
}

// answersFrame says whether b is exactly one frame that can answer the frame of a
// client.
func answersFrame(frame, b []byte) bool {
	asked, _, _ := protocol.Split(frame, protocol.MaxFrame)
	f, n, err := protocol.Split(b, protocol.MaxFrame)
	return err == nil && n == len(b) && n > 0 && f.Request == asked.Request &&
		(f.Type == protocol.TypeError || f.Type == asked.Type.Answer())
}
