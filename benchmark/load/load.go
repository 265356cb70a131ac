// Package load is what makes load and checks it: users in pairs, or in a ring, who write to
// each other, through the Go SDK or through lean clients that leave the machine to the
// server. Every message is checked on its way: none may be lost, repeated,
// corrupted or out of order.
package load

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	"gannet/protocol"
	gannet "gannet/sdk/go"
)

// Limits of a load.
const (
	// MaxLogins bounds the logins under way at once.
	MaxLogins = 64

	// LoginTimeout is how long one login may take, with all its attempts.
	LoginTimeout = 30 * time.Second

	// quietPatience is how long nothing may move at the end of a run before what
	// is missing counts as lost. It is longer than the server waits before it
	// pushes a third time.
	quietPatience = 20 * time.Second

	// quietPoll is how often that is looked at.
	quietPoll = 10 * time.Millisecond

	// CloseTimeout is how long all clients together may take to close.
	CloseTimeout = 10 * time.Second
)

// Config says what a load is.
type Config struct {
	Users  int           // an even number
	Window int           // messages that each has on the way, or with a Rate may have
	Size   int           // of a body
	Rate   uint64        // messages per second of an open loop; 0: every window is kept full
	Pace   time.Duration // without a Rate, through the SDK: how long a user rests on average from an ack to the next message
	Seed   uint64

	// Conversations are how many there are of lean users who stand in a ring and write to
	// many others in turn: a multiple of the users. With a Rate the first messages come
	// faster, so that all conversations have begun soon. 0: every two are a pair.
	Conversations int

	SDK  bool // users talk through the SDK, which survives a lost connection
	Seqs bool // remember every ack, for CheckHistories and CheckCursors

	// Listeners says that of every second pair one side only listens: what does not come
	// to it by push stays away, for no ack of its own tells it that there is more.
	Listeners bool

	// Mixed says that a message may come behind later ones without a fault: one that is
	// refused for the moment does, and when the connection is lost then, nobody learns
	// of it. Each still has to come once, under the seq that its ack has.
	Mixed bool
}

// Server is where a load goes. Token signs for a user; it must be safe for
// concurrent use.
type Server struct {
	// Address may be several with commas between. Lean users take them in turn, so that two
	// of a pair are apart; the SDK gets all of them and comes back to another one.
	Address string
	Token   func(user uint64) (string, error)
}

// at gives the address of the i-th user, who talks through the SDK or not.
func (s Server) at(i int, sdk bool) string {
	if sdk {
		return s.Address
	}
	addresses := strings.Split(s.Address, ",")
	return addresses[i%len(addresses)]
}

// Load is users who write to each other.
type Load struct {
	Faults report.Faults // the promises that were seen broken

	config   Config
	run      uint64 // marks the messages of this run
	users    []*user
	peers    peers
	fill     filling
	patience time.Duration // quietPatience

	clock  clock
	begin  int64        // when the run began
	from   atomic.Int64 // latencies of what was due from here on count
	until  atomic.Int64 // no message is due after this
	online atomic.Int64 // users logged in now

	loginsAgain atomic.Int64 // logins that the server had come again

	gaps *gaps // when acks came; nil with a run that has no end of its own
	gate gate  // where those wait who want to connect and shall not yet

	order []int   // in which users send on a timetable
	loops []*loop // that serve lean clients; none with the SDK

	ackTimes, deliverTimes *meter.Recorder
	lag                    *meter.Recorder // of the timetable: from when a message was due until it was sent

	mu        sync.Mutex
	lostConns int    // how often a user lost the connection
	firstLost string // and why the first time
	limited   int    // how often a limit of the server refused something
	limit     string // and which the first time
}

// firstUserBits leaves room for this many users after the first of a run.
const firstUserBits = 20

// FirstUser gives the id of a run's first user. Chance gives every run its own,
// so that its conversations are new and begin at seq 1.
func FirstUser() uint64 { return rand.Uint64()>>1>>firstUserBits<<firstUserBits + 1 }

// New makes users, not logged in yet.
func New(c Config) (*Load, error) {
	switch {
	case c.Users < 2 || c.Users%2 != 0 || c.Users > 1<<firstUserBits:
		return nil, fmt.Errorf("benchmark: %d users are not pairs, of which there may be %d", c.Users, 1<<firstUserBits/2)
	case c.Window < 1 || c.Window > protocol.MaxUnacked:
		return nil, fmt.Errorf("benchmark: a window of %d is not 1 to %d", c.Window, protocol.MaxUnacked)
	case c.Size < minBody || c.Size > protocol.MaxBody:
		return nil, fmt.Errorf("benchmark: a size of %d is not %d to %d", c.Size, minBody, protocol.MaxBody)
	}
	c.SDK = c.SDK || !HaveLean
	peers, err := peersFor(&c)
	if err != nil {
		return nil, err
	}
	l := &Load{
		config: c, peers: peers, clock: clock{time.Now()}, run: rand.Uint64(), fill: filling(c.Seed), patience: quietPatience,
		ackTimes: meter.NewRecorder(), deliverTimes: meter.NewRecorder(), lag: meter.NewRecorder(),
		// Everybody takes turns, pairs and sides of a pair mixed.
		order: rand.New(rand.NewPCG(c.Seed, 1)).Perm(c.Users),
	}
	first := FirstUser()
	for i := range c.Users {
		l.users = append(l.users, &user{
			load: l, index: i, id: first + uint64(i), listens: c.Listeners && i%4 == 1, slots: make([]slot, c.Window),
			checks:       make([]checker, l.peers.each()),
			ackTimes:     l.ackTimes.Sampler(),
			deliverTimes: l.deliverTimes.Sampler(),
		})
	}
	for i, u := range l.users {
		for turn := range u.checks {
			peer := l.users[l.peers.at(i, turn)]
			u.checks[turn] = checker{run: l.run, self: u.id, peer: peer.id, mixed: c.Mixed, faults: &l.Faults, again: &peer.again}
		}
		u.wire.gate = &l.gate
	}
	return l, nil
}

// Open logs all users in.
func (l *Load) Open(ctx context.Context, s Server, line *report.Progress, opts ...gannet.Option) error {
	began := time.Now()
	err := InParallel(ctx, MaxLogins, len(l.users), func(ctx context.Context, i int) error {
		u := l.users[i]
		token, err := s.Token(u.id)
		if err != nil {
			return fmt.Errorf("benchmark: token of user %d: %w", u.id, err)
		}
		address := s.at(i, l.config.SDK)
		if u.wire.dialer, err = DialerFor(address, i); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, LoginTimeout)
		defer cancel()
		return u.dial(ctx, address, token, opts...)
	})
	if err != nil {
		return err
	}
	line.Showf("%d users logged in in %.1f s, %d logins were put off", len(l.users), time.Since(began).Seconds(), l.loginsAgain.Load())
	if l.config.SDK {
		return nil
	}
	return l.startLoops()
}

// startLoops hands the users to the threads that serve them, in turn as they
// stand on the timetable.
func (l *Load) startLoops() error {
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

// Start begins a run: latencies and acks count after the warm-up, and no message
// is due after warm-up and duration. With a duration of 0 it goes on until Stop.
func (l *Load) Start(warmup, duration time.Duration) {
	l.begin = l.clock.now()
	l.from.Store(l.begin + int64(warmup))
	if duration == 0 {
		l.until.Store(math.MaxInt64)
		return
	}
	l.until.Store(l.begin + int64(warmup+duration))
	l.gaps = newGaps(l.begin+int64(warmup), l.begin+int64(warmup+duration))
}

// Stop ends the run, maybe earlier than planned; what is on its way goes on.
func (l *Load) Stop() { l.until.Store(min(l.until.Load(), l.clock.now())) }

// Now gives the time on the load's own clock.
func (l *Load) Now() time.Duration { return time.Duration(l.clock.now()) }

// Send keeps messages coming until the run ends or ctx is done.
func (l *Load) Send(ctx context.Context) {
	switch {
	case !l.config.SDK:
		for _, o := range l.loops {
			o.begun.Store(true)
		}
		for _, o := range l.loops {
			<-o.sent
		}
	case l.config.Rate == 0:
		for _, u := range l.users {
			u.fillWindow(l.clock.now())
		}
	default:
		l.sendOnTime(ctx)
	}
}

// AwaitQuiet waits until every message is acked and delivered, or nothing has moved
// for long.
func (l *Load) AwaitQuiet(ctx context.Context) {
	moved, last := time.Now(), l.Counts()
	for {
		pending := l.Pending()
		now := l.Counts()
		if pending == 0 && now.Delivered >= now.Acked {
			return
		}
		if now.Acked != last.Acked || now.Delivered != last.Delivered {
			moved, last = time.Now(), now
		}
		if time.Since(moved) > l.patience || meter.Rest(ctx, quietPoll) != nil {
			l.Faults.Addf("%d messages were not acked and %d acked ones not delivered when nothing had moved for %.0f s",
				pending, int64(now.Acked-now.Delivered), time.Since(moved).Seconds())
			return
		}
	}
}

// Close ends all clients. After it nothing calls their handlers any more.
func (l *Load) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), CloseTimeout)
	defer cancel()
	for _, o := range l.loops {
		o.end()
	}
	_ = InParallel(ctx, MaxLogins, len(l.users), func(_ context.Context, i int) error {
		if c := l.users[i].client; c != nil {
			// What was not acked has been told by then.
			_ = c.close(ctx)
		}
		return nil
	})
}

// Verify compares, after Close, what was acked with what was delivered, and
// completes the latencies.
func (l *Load) Verify() {
	l.mu.Lock()
	if l.limited > 0 {
		l.Faults.Addf("the server refused %d requests, so this measures its limits: %s", l.limited, l.limit)
	}
	l.mu.Unlock()
	for i, u := range l.users {
		u.ackTimes.Flush()
		u.deliverTimes.Flush()
		for turn := range u.checks {
			u.checks[turn].finish(l.users[l.peers.at(i, turn)].ackedTo(u))
		}
	}
}
