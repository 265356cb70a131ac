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

// lane carries the SEND, PUSHACK and READ frames of a queue to logic, one batch at a time: while
// one batch is under way, the next ones fill. The frames of each connection stay in order. There
// is no timer; an idle lane sends a frame at once. Each lane has a goroutine. If logic is in this
// process, it works on that goroutine. round.go says how connections share a lane.
type lane struct {
	index   int
	gateway *Gateway
	ctx     context.Context // of the calls: see withinBatch
	awake   chan struct{}   // holds one token while something may wait

	carrying atomic.Bool // a batch is under way; the writers are woken at its end

	mu       sync.Mutex
	waiting  []*filling // the queue, in order
	ring     ring       // the parts that have frames in surplus only, not in the queue
	begun    bool       // the first part of the ring has begun its turn
	surplus  int        // parts that have a surplus
	longest  int        // how much the longest surplus frame counts; 0 if there is no surplus
	bytes    int        // of all frames that wait
	frames   int        // that wait
	old      int        // frames for which Stop waits
	life     uint32     // how often it was emptied
	spare    []*filling
	underWay *filling

	// For the lane's goroutine only.
	answered []bool     // of each frame of the batch
	touched  []*session // to be written to
}

func newLane(g *Gateway, index int) *lane {
	l := &lane{
		index: index, gateway: g,
		awake: make(chan struct{}, 1),
	}
	l.ctx = context.WithValue(g.ctx, withinBatch{}, l)
	return l
}

// withinBatch is the key under which the context of a Forward carries its lane. A push with that
// context, before Forward returns, belongs to the batch: it waits for the batch's answers, so
// that one write carries both. A call from another process does not have this context, so its
// pushes are written at once.
type withinBatch struct{}

// within says whether the context belongs to a batch of this gateway that is under way. The
// sessions that are on the writers' lists by the end of the batch are written to then.
func (g *Gateway) within(ctx context.Context) bool {
	l, _ := ctx.Value(withinBatch{}).(*lane)
	return l != nil && l.gateway == g && l.carrying.Load()
}

// add copies an encoded frame into the lane; false: there is no room for it.
func (l *lane) add(s *session, frame []byte) bool {
	first, ok := l.enter(&s.parts[l.index], frame)
	if first {
		select {
		case l.awake <- struct{}{}:
		default:
		}
	}
	return ok
}

// enter puts a frame into the queue, or into the surplus of its connection. first says that the
// lane was empty. If an earlier SEND of the connection waits to be refused, a SEND is marked to
// be refused too, so that it does not overtake. The same holds if a hold began after the poller
// had looked. Whoever sets a hold voids, after that, all SENDs that wait here. So a SEND is
// caught either there or here.
func (l *lane) enter(p *part, frame []byte) (first, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.life != l.life {
		*p = part{session: p.session, life: l.life}
	}
	if !l.fits(p, len(frame)) {
		return false, false
	}
	if p.surplus == nil && int(p.bytes)+len(frame) <= shareBytes && p.frames < shareFrames {
		l.filling(len(frame)).add(p, frame)
		p.bytes += int32(len(frame))
		p.frames++
	} else {
		l.enterSurplus(p, frame)
	}
	l.bytes += len(frame)
	l.frames++
	if isSend(frame) && (p.void > 0 || p.session.onHold() > 0) {
		p.voidWaiting()
	}
	return l.frames == 1, true
}

// next makes the next batch; nil: nothing waits.
func (l *lane) next() *filling {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frames == 0 {
		return nil
	}
	var f *filling
	if len(l.waiting) > 0 {
		f = l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.leave(f)
	} else {
		f = l.empty()
	}
	l.round(f)
	l.bytes -= len(f.batch.Frames)
	l.frames -= f.batch.Len()
	l.underWay = f
	return f
}

// leave notes that the frames of a filling have left the queue. The caller holds mu.
func (l *lane) leave(f *filling) {
	start := uint32(0)
	for i, p := range f.parts {
		end := f.batch.Ends[i]
		p.bytes -= int32(end - start)
		start = end
		if p.old|p.void != 0 {
			f.mark(p, i)
		}
		if p.frames--; p.frames == 0 && p.surplus != nil {
			l.ring.push(p)
		}
	}
}

// done takes a batch back to be filled again.
func (l *lane) done(f *filling) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.underWay = nil
	l.old -= f.old
	f.reset()
	if len(l.spare) < laneSpare {
		l.spare = append(l.spare, f)
	}
}

func (l *lane) run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-l.awake:
		}
		for l.step() {
		}
	}
}

// step carries the next batch; false: nothing waits.
func (l *lane) step() (more bool) {
	defer func() {
		if cause := recover(); cause != nil {
			l.gateway.panicked("lane", cause)
			l.abandon()
			more = true
		}
	}()
	f := l.next()
	if f == nil {
		return false
	}
	defer l.done(f)
	l.carry(f)
	return true
}

// carry has logic process a batch, puts the answers into the outboxes and wakes the writers. That
// also sends the pushes of the batch.
func (l *lane) carry(f *filling) {
	g := l.gateway
	l.carrying.Store(true)
	defer l.end(f)
	if l.sift(f); f.batch.Len() == 0 {
		return
	}
	g.counters.batches.Add(1)
	g.counters.requests.Add(uint64(f.batch.Len()))
	answers, err := l.forward(&f.batch)
	if err == nil {
		err = answers.Check(f.batch.Len())
	}
	f.release()
	l.answer(f, &answers, err)
}

// end wakes the writers for all sessions that the batch concerns. A panic in carry is a bug that
// affects this batch only. Its sessions are closed, because nobody knows which of their frames
// were answered.
func (l *lane) end(f *filling) {
	g := l.gateway
	if cause := recover(); cause != nil {
		g.panicked("lane", cause)
		for _, p := range f.parts {
			p.session.close(protocol.CodeInternal)
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
	batch.Gateway = l.gateway.epoch.Load()
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

// answer puts the answers into the outboxes. A frame whose answer is missing or invalid is
// answered with unavailable: it may or may not have been carried out.
func (l *lane) answer(f *filling, answers *hop.Answers, err error) {
	g := l.gateway
	n := f.batch.Len()
	wrong := 0
	l.answered = append(l.answered[:0], make([]bool, n)...)
	if err == nil {
		wrong = l.passOn(f, answers)
	}
	for i := range n {
		switch frame := f.batch.Bytes(i); {
		case l.answered[i]:
		case !wantsAnswer(frame):
			if err != nil {
				l.afterFailure(f.parts[i], frame, err)
			}
		default:
			wrong++
			b := failure(requestOf(frame), protocol.CodeUnavailable, busyRetry)
			l.put(f.parts[i].session, b)
			l.heed(f.parts[i], frame, b)
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

// passOn puts the answers of logic into the outboxes. Answers in a row for the same connection go
// in at once. It returns how many answers to frames that want none were invalid. Invalid answers
// to other frames are not counted here: answer counts them as missing.
func (l *lane) passOn(f *filling, answers *hop.Answers) (wrong int) {
	var whose *session
	var start, end uint32 // of what is for whose, in answers.Frames
	put := func() {
		if whose != nil {
			l.put(whose, answers.Frames[start:end:end])
		}
		whose = nil
	}
	for i := range answers.Of {
		of := int(answers.Of[i])
		b, frame, p := answers.Bytes(i), f.batch.Bytes(of), f.parts[of]
		if !answersFrame(frame, b) {
			if !wantsAnswer(frame) {
				wrong++
			}
			continue
		}
		l.answered[of] = true
		if l.again(p, frame, b) {
			continue
		}
		from := answers.Ends[i] - uint32(len(b))
		if p.session != whose || from != end {
			put()
			whose, start = p.session, from
		}
		end = answers.Ends[i]
		if typeOf(b) == protocol.TypeError { // before other SENDs are refused because of it
			put()
			l.heed(p, frame, b)
		}
	}
	put()
	return wrong
}

func (l *lane) put(s *session, b []byte) {
	defer s.survive("answer")
	if s.put(b) {
		l.touched = append(l.touched, s)
	}
}
