package chain

import (
	"context"
	"errors"
	"math/rand/v2"
)

// sim is a broker and those who use it, who take turns as a seed decides: one of them
// runs at a time, until it asks the broker for something or ends. What the broker does
// with what was asked, and when, is drawn too.
//
// Nothing that the broker acknowledged is ever lost, unless the sim is lossy: then the end of
// the queues goes at times, as if the disk had been replaced by an older one. All else
// happens: requests and answers are lost, late or doubled, what was not flushed is cut off,
// and those who use it are stopped for long or die at any call.
type sim struct {
	rng     *rand.Rand
	lossy   bool
	brokers int                         // how often the broker was another one
	lose    func(queue int, from int64) // told of what goes
	step    int
	queues  []*simQueue
	written int // records in all queues, in the order of the one log below them
	flushed int // of them, how many are durable
	actors  []*actor
	flights []*flight
	ids     uint64
	version uint64 // of the registry
}

type simQueue struct {
	bodies []Stored
	at     []int // of each, its place in the one log
	first  int64
	view   view
}

// view is what a view of a queue knows: it is made from durable records.
type view struct {
	mark Mark
	head uint64
}

// flight is an append on its way.
type flight struct {
	queue  int
	body   []byte
	actor  *actor // nil: nobody waits for it any more
	offset int64  // not there yet, or gone again, or where it is
	place  int
}

const (
	notYet = -1
	gone   = -2
)

// actor is a goroutine that runs when the sim lets it.
type actor struct {
	sim     *sim
	asks    chan func() bool // tries to answer; false: not yet
	answers chan struct{}
	ask     func() bool // what it waits for
	dead    bool        // whatever it asks fails
	ended   bool
	frozen  int // until this step
	version uint64
	sends   int // to which broker its connection for records leads
	pulls   int // likewise, for what it asks
}

var (
	errKilled = errors.New("killed")
	errAway   = errors.New("the broker does not answer")
)

func newSim(seed uint64, queues int) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 7)), version: 1}
	for range queues {
		s.queues = append(s.queues, &simQueue{view: view{mark: Beginning}})
	}
	return s
}

func (s *sim) chance(percent float64) bool { return s.rng.Float64()*100 < percent }

// spawn starts somebody, and lets it run up to its first question.
func (s *sim) spawn(run func(*actor)) *actor {
	a := &actor{sim: s, asks: make(chan func() bool), answers: make(chan struct{}), version: s.version, sends: s.brokers, pulls: s.brokers}
	s.actors = append(s.actors, a)
	go func() {
		run(a)
		close(a.asks)
	}()
	a.await()
	return a
}

// await lets an actor run until it asks or ends.
func (a *actor) await() {
	var open bool
	if a.ask, open = <-a.asks; !open {
		a.ended = true
	}
}

// call asks, and waits for an answer.
func (a *actor) call(try func() bool) {
	a.asks <- try
	<-a.answers
}

// yield lets the others go on.
func (a *actor) yield() error {
	a.call(func() bool { return true })
	if a.dead {
		return errKilled
	}
	return nil
}

// turn does one thing.
func (s *sim) turn() {
	s.step++
	if len(s.flights) > 0 && s.chance(40) {
		s.fly(s.rng.IntN(len(s.flights)))
		return
	}
	switch {
	case s.chance(10):
		s.flushed = s.written
	case s.chance(0.3):
		s.cut()
	case s.chance(1):
		q := s.queues[s.rng.IntN(len(s.queues))]
		q.first = max(q.first, min(q.view.mark.Offset, int64(len(q.bodies))-1)-int64(s.rng.IntN(8)))
	case s.chance(0.5):
		s.version++
	case s.lossy && s.chance(0.2):
		s.older()
	}
	a := s.actors[s.rng.IntN(len(s.actors))]
	switch {
	case a.ended || a.frozen > s.step:
		return
	case s.chance(0.3):
		a.frozen = s.step + 50 + s.rng.IntN(400)
		return
	case s.chance(5):
		a.version = s.version
	}
	if a.ask() {
		a.answers <- struct{}{}
		a.await()
	}
}

// fly does something with an append on its way.
func (s *sim) fly(i int) {
	f := s.flights[i]
	switch {
	case f.offset >= 0:
		if f.actor == nil {
			s.drop(i)
		}
	case f.actor == nil && s.chance(90): // a late one
		return
	case s.chance(4):
		s.drop(i)
	default:
		if s.chance(4) {
			s.flights = append(s.flights, &flight{queue: f.queue, body: f.body, offset: notYet})
		}
		q := s.queues[f.queue]
		f.offset, f.place = int64(len(q.bodies)), s.written
		q.bodies = append(q.bodies, Stored{Offset: f.offset, Body: f.body})
		q.at = append(q.at, s.written)
		s.written++
	}
}

func (s *sim) drop(i int) {
	s.flights[i] = s.flights[len(s.flights)-1]
	s.flights = s.flights[:len(s.flights)-1]
}

// cut takes what is not flushed, or some of it.
func (s *sim) cut() { s.cutFrom(s.flushed + s.rng.IntN(s.written-s.flushed+1)) }

// older takes what was flushed last, too. What was on its way to the broker is gone with it.
func (s *sim) older() {
	s.cutFrom(max(s.flushed-1-s.rng.IntN(20), 0))
	s.brokers++
	for i := len(s.flights) - 1; i >= 0; i-- {
		s.flights[i].offset = gone
		s.drop(i)
	}
}

// cutFrom takes everything from a place of the one log on.
func (s *sim) cutFrom(end int) {
	s.written, s.flushed = end, end
	for number, q := range s.queues {
		n := len(q.at)
		for n > 0 && q.at[n-1] >= end {
			n--
		}
		q.bodies, q.at = q.bodies[:n:n], q.at[:n:n]
		q.first = min(q.first, int64(n))
		if s.lossy {
			s.lose(number, int64(n))
		}
	}
	for i := len(s.flights) - 1; i >= 0; i-- {
		if f := s.flights[i]; f.offset >= 0 && f.place >= end {
			f.offset = gone // whoever waits for it hears nothing
			s.drop(i)
		}
	}
}

// The actor's Stream. A queue's number is its place in the sim.

func (a *actor) Append(_ context.Context, queue Queue, body []byte) (offset int64, err error) {
	s := a.sim
	if a.dead {
		return 0, errKilled
	}
	if a.sends != s.brokers { // the connection is broken, as everybody's is
		a.sends = s.brokers
		return 0, errAway
	}
	f := &flight{queue: queue.Number, body: body, actor: a, offset: notYet}
	s.flights = append(s.flights, f)
	a.call(func() bool {
		switch {
		case a.dead:
			err = errKilled
		case f.offset >= 0 && f.place < s.flushed:
			offset = f.offset
			if s.chance(5) {
				err = errAway // the answer is lost
			}
		case f.offset == notYet && s.chance(1):
			err = ErrRefused
			for i := range s.flights {
				if s.flights[i] == f {
					s.drop(i)
					break
				}
			}
		case s.chance(3):
			err = errAway
		default:
			return false
		}
		f.actor = nil
		return true
	})
	return offset, err
}

func (a *actor) Bounds(_ context.Context, queue Queue) (first, end int64, err error) {
	a.call(func() bool {
		q := a.sim.queues[queue.Number]
		first, end = q.first, max(q.first, int64(len(q.bodies))-int64(a.sim.rng.IntN(3)))
		err = a.fails()
		return true
	})
	return first, end, err
}

func (a *actor) Pull(_ context.Context, queue Queue, from int64, limit int) (stored []Stored, err error) {
	a.call(func() bool {
		q := a.sim.queues[queue.Number]
		if err = a.fails(); err != nil {
			return true
		}
		if a.pulls != a.sim.brokers {
			a.pulls, err = a.sim.brokers, errAway
			return true
		}
		switch {
		case from < q.first:
			err = ErrRetention
		case from > int64(len(q.bodies)), a.sim.chance(3):
			err = ErrLagging
		case from == int64(len(q.bodies)):
			return false
		default:
			n := min(int64(limit), int64(len(q.bodies))-from, 1+int64(a.sim.rng.IntN(4)))
			stored = q.bodies[from : from+n]
		}
		return true
	})
	return stored, err
}

// fails says whether a question has no answer.
func (a *actor) fails() error {
	if a.dead {
		return errKilled
	}
	if a.sim.chance(2) {
		return errAway
	}
	return nil
}
