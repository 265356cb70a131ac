package benchmark

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"gannet/protocol"
	gannet "gannet/sdk/go"
)

// Limits of a load.
const (
	// maxLogins bounds the logins under way at once.
	maxLogins = 64

	// loginTimeout is how long one login may take, with all its attempts.
	loginTimeout = 30 * time.Second

	// settlePatience is how long nothing may move at the end of a run before what
	// is missing counts as lost. It is longer than the server waits before it
	// pushes a third time.
	settlePatience = 20 * time.Second

	// settlePoll is how often that is looked at.
	settlePoll = 10 * time.Millisecond

	// closeTimeout is how long all clients together may take to close.
	closeTimeout = 10 * time.Second
)

// load is users in pairs who write to each other. The first fields are set
// before open and do not change.
type load struct {
	run      uint64 // marks the messages of this run
	users    []*user
	size     int    // of a body
	rate     uint64 // messages per second of an open loop; 0: every window is kept full
	seed     uint64
	fill     filling
	sdk      bool // users talk through the SDK, which survives a lost connection
	keepSeqs bool
	patience time.Duration // settlePatience

	clock  clock
	begin  int64        // when the run began
	from   atomic.Int64 // latencies of what was due from here on count
	until  atomic.Int64 // no message is due after this
	online atomic.Int64 // users logged in now
	faults faults

	order []int   // in which users send on a timetable
	loops []*loop // that serve lean clients; none with sdk

	ackTimes, deliverTimes *recorder
	lag                    *recorder // of the timetable: from when a message was due until it was sent

	mu        sync.Mutex
	lostConns int    // how often a user lost the connection
	firstLost string // and why the first time
}

// firstUserBits leaves room for this many users after the first of a run.
const firstUserBits = 20

// firstUser gives the id of a run's first user. Chance gives every run its own,
// so that its conversations are new and begin at seq 1.
func firstUser() uint64 { return rand.Uint64()>>1>>firstUserBits<<firstUserBits + 1 }

// newLoad makes users in pairs, not logged in yet.
func newLoad(users, window, size int, rate, seed uint64) (*load, error) {
	switch {
	case users < 2 || users%2 != 0 || users > 1<<firstUserBits:
		return nil, fmt.Errorf("benchmark: %d users are not pairs, of which there may be %d", users, 1<<firstUserBits/2)
	case window < 1 || window > protocol.MaxUnacked:
		return nil, fmt.Errorf("benchmark: a window of %d is not 1 to %d", window, protocol.MaxUnacked)
	case size < minBody || size > protocol.MaxBody:
		return nil, fmt.Errorf("benchmark: a size of %d is not %d to %d", size, minBody, protocol.MaxBody)
	}
	l := &load{
		clock: clock{time.Now()}, run: rand.Uint64(), size: size, rate: rate, seed: seed, fill: filling(seed), patience: settlePatience,
		ackTimes: newRecorder(), deliverTimes: newRecorder(), lag: newRecorder(),
		// Everybody takes turns, pairs and sides of a pair mixed.
		order: rand.New(rand.NewPCG(seed, 1)).Perm(users),
	}
	first := firstUser()
	for i := range users {
		id, peer := first+uint64(i), first+uint64(i^1)
		l.users = append(l.users, &user{
			load: l, id: id, slots: make([]slot, window),
			check:        checker{run: l.run, self: id, peer: peer, faults: &l.faults},
			ackTimes:     sampler{to: l.ackTimes},
			deliverTimes: sampler{to: l.deliverTimes},
		})
	}
	for i, u := range l.users {
		u.check.again = &l.users[i^1].again
	}
	return l, nil
}

// open logs all users in.
func (l *load) open(ctx context.Context, t *target, line *progress, opts ...gannet.Option) error {
	began := time.Now()
	err := inParallel(ctx, maxLogins, len(l.users), func(ctx context.Context, i int) error {
		u := l.users[i]
		token, err := t.token(u.id)
		if err != nil {
			return fmt.Errorf("benchmark: token of user %d: %w", u.id, err)
		}
		if u.wire.dialer, err = dialerFor(t.address, i); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, loginTimeout)
		defer cancel()
		return u.dial(ctx, t.address, token, opts...)
	})
	if err != nil {
		return err
	}
	line.showf("%d users logged in in %.1f s", len(l.users), time.Since(began).Seconds())
	if l.sdk {
		return nil
	}
	return l.startLoops()
}

// startLoops hands the users to the threads that serve them, in turn as they
// stand on the timetable.
func (l *load) startLoops() error {
	n := min(max(1, runtime.NumCPU()/2), len(l.users)) // the server has the other cores
	for i := range n {
		o := newLoop(l, l.share(i, n))
		for at := i; at < len(l.order); at += n {
			o.clients = append(o.clients, l.users[l.order[at]].client.(*leanClient))
		}
		if err := o.start(); err != nil {
			return err
		}
		l.loops = append(l.loops, o)
	}
	return nil
}

// start begins a run: latencies count after the warm-up, and no message is due
// after warm-up and duration.
func (l *load) start(warmup, duration time.Duration) {
	l.begin = l.clock.now()
	l.from.Store(l.begin + int64(warmup))
	l.until.Store(l.begin + int64(warmup+duration))
}

// send keeps messages coming until the run ends or ctx is done.
func (l *load) send(ctx context.Context) {
	switch {
	case !l.sdk:
		for _, o := range l.loops {
			o.begun.Store(true)
		}
		for _, o := range l.loops {
			<-o.sent
		}
	case l.rate == 0:
		for _, u := range l.users {
			u.fillWindow(l.clock.now())
		}
	default:
		l.sendOnTime(ctx)
	}
}

// sendOnTime keeps the timetable for clients of the SDK.
func (l *load) sendOnTime(ctx context.Context) {
	// The thread is given up to precise sleeping and ends with the goroutine.
	runtime.LockOSThread()
	prepareSleep()
	table := l.share(0, 1)
	defer table.lag.flush()
	for ctx.Err() == nil {
		began := l.clock.now()
		next, more := l.sendDue(table, began)
		if !more {
			return
		}
		sleep(min(time.Duration(max(next, began+int64(minWake))-l.clock.now()), maxRest))
	}
}

// share gives the part of the timetable of one of several threads; nil where
// windows are kept full.
func (l *load) share(index, of int) *share {
	if l.rate == 0 {
		return nil
	}
	return &share{
		schedule: schedule{rate: l.rate, users: uint64(len(l.users))}, index: uint64(index), of: uint64(of),
		lag: sampler{to: l.lag},
	}
}

// sendDue sends what is due now and says when something is next; more is false
// when the run is over by then.
func (l *load) sendDue(table *share, now int64) (next int64, more bool) {
	from, end := l.from.Load(), l.until.Load()-l.begin
	next = table.sendDue(now-l.begin, end, func(k uint64, due int64) {
		due += l.begin
		if due >= from {
			table.lag.add(l.clock.now() - due)
		}
		l.users[l.order[k%uint64(len(l.order))]].sendDue(due)
	})
	return next + l.begin, next < end
}

// counts is how far a load has got.
type counts struct {
	acked, delivered uint64
	in, out          uint64 // bytes
	reads, writes    uint64
	again            uint64 // messages that were refused for the moment
}

func (l *load) counts() (c counts) {
	for _, u := range l.users {
		c.acked += u.acked.Load()
		c.delivered += u.delivered.Load()
		c.in += u.wire.in.Load()
		c.out += u.wire.out.Load()
		c.reads += u.wire.reads.Load()
		c.writes += u.wire.writes.Load()
		c.again += u.again.Load()
	}
	return c
}

func (c counts) minus(b counts) counts {
	return counts{
		acked: c.acked - b.acked, delivered: c.delivered - b.delivered,
		in: c.in - b.in, out: c.out - b.out, reads: c.reads - b.reads, writes: c.writes - b.writes, again: c.again - b.again,
	}
}

// settle waits until every message is acked and delivered, or nothing has moved
// for long.
func (l *load) settle(ctx context.Context) {
	moved, last := time.Now(), l.counts()
	for {
		pending := uint64(0)
		for _, u := range l.users {
			pending += u.pending()
		}
		now := l.counts()
		if pending == 0 && now.delivered >= now.acked {
			return
		}
		if now.acked != last.acked || now.delivered != last.delivered {
			moved, last = time.Now(), now
		}
		if time.Since(moved) > l.patience || rest(ctx, settlePoll) != nil {
			l.faults.addf("%d messages were not acked and %d acked ones not delivered when nothing had moved for %.0f s",
				pending, int64(now.acked-now.delivered), time.Since(moved).Seconds())
			return
		}
	}
}

// close ends all clients. After it nothing calls their handlers any more.
func (l *load) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	for _, o := range l.loops {
		o.end()
	}
	_ = inParallel(ctx, maxLogins, len(l.users), func(_ context.Context, i int) error {
		if c := l.users[i].client; c != nil {
			// What was not acked has been told by settle.
			_ = c.close(ctx)
		}
		return nil
	})
}

// verify compares, after close, what was acked with what was delivered, and
// completes the latencies.
func (l *load) verify() {
	for i, u := range l.users {
		u.ackTimes.flush()
		u.deliverTimes.flush()
		u.check.finish(l.users[i^1].acked.Load())
	}
}

// lost takes note of a lost connection.
func (l *load) lost(user uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lostConns == 0 {
		l.firstLost = fmt.Sprintf("user %d: %v", user, err)
	}
	l.lostConns++
}

// lostConnections gives how often a user lost the connection, and the first.
func (l *load) lostConnections() (n int, first string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lostConns, l.firstLost
}

// inParallel does f for 0 to n-1, at most limit at once, and gives the first
// error, after which it begins no more.
func inParallel(ctx context.Context, limit, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(limit, n) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
