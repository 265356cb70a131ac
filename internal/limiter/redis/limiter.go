// Package redis bounds what a user may ask of all gateways together.
//
// Each process has local buckets, which say at once what may be taken; each is its guess of
// the bucket that all share in Redis. What was taken is charged to the shared bucket a
// block at a time, after the fact and beside the caller, and the answer corrects the guess:
// what others took is missing here too. What the shared bucket did not have is a debt: it
// must be there locally once more before anything else is taken, and is charged again. So
// nobody ever waits for Redis; nothing is lost with a process that dies, as tokens leased
// in advance would be; one process alone allows exactly what the port says; and
// many together allow the rate in the long run, and at the beginning at most a burst each.
//
// While Redis is away the local buckets are what counts, so each process allows the
// whole rate.
package redis

import (
	"context"
	"encoding/hex"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"

	"gannet/internal/limiter"
	"gannet/internal/operate"
	"gannet/internal/redis"
)

const (
	// blocks is into how many charges a burst is cut: as much is taken of a subject at
	// most before the others know.
	blocks = 16

	shards       = 64
	perShard     = 1024 // subjects of which something is owed
	looksForRoom = 8    // of them are looked at for one more
	waiting      = 1024 // charges that wait for a worker
	workers      = 4
	awayFor      = time.Second // after a failure nothing is charged for so long
	resetSlop    = time.Second
)

// Options of a Limiter.
type Options struct {
	Prefix string // of all keys, after the "rate:" of the library; "": gannet
	Logger *slog.Logger
}

// Limiter is the adapter.
type Limiter struct {
	local  *limiter.Memory
	shared *redis_rate.Limiter
	kinds  [limiter.Kinds]kind
	now    func() time.Time
	bound  func(context.Context) (context.Context, context.CancelFunc)
	prefix string
	logger *slog.Logger

	shards [shards]shard
	due    chan account
	stop   context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	idle    sync.Cond
	pending int // charges that wait or are under way

	away   atomic.Int64 // until when, by operate.Elapsed
	counts counters
}

var (
	_ limiter.Limiter = (*Limiter)(nil)
	_ limiter.Sized   = (*Limiter)(nil)
)

// kind is what is known of the rate of a kind.
type kind struct {
	limit redis_rate.Limit // Burst 0: none
	block int
	full  time.Duration // in which an empty bucket fills
}

type account struct {
	kind    limiter.Kind
	subject limiter.Subject
}

// shard has what is owed to shared buckets, for some of the subjects.
type shard struct {
	mu   sync.Mutex
	owed map[account]owed
}

type owed struct {
	tokens int  // taken, and not charged so far
	debt   int  // taken, and not there when it was charged
	queued bool // a charge waits
	last   time.Time
}

type counters struct {
	unanswered operate.Trouble // charges that Redis did not answer: only this process knows of them
	skipped    atomic.Uint64   // charges that were not tried, soon after that
	untracked  atomic.Uint64   // takes of one subject more than there is room for: likewise
	charged    atomic.Uint64
	short      atomic.Uint64 // charges that the shared bucket did not have in full
}

// Vars gives the counters by name.
func (l *Limiter) Vars() map[string]uint64 {
	return map[string]uint64{
		"unanswered": l.counts.unanswered.Times(),
		"skipped":    l.counts.skipped.Load(),
		"untracked":  l.counts.untracked.Load(),
		"charged":    l.counts.charged.Load(),
		"short":      l.counts.short.Load(),
	}
}

// New makes a Limiter whose local buckets are all full.
func New(client *redis.Client, rates limiter.Rates, o Options) *Limiter {
	return newLimiter(redis_rate.NewLimiter(client), client.Within, rates, time.Now, o)
}

func newLimiter(shared *redis_rate.Limiter, bound func(context.Context) (context.Context, context.CancelFunc), rates limiter.Rates, now func() time.Time, o Options) *Limiter {
	if o.Prefix == "" {
		o.Prefix = "gannet"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l := &Limiter{
		local: limiter.NewMemory(rates, now), shared: shared, now: now, bound: bound,
		prefix: o.Prefix, logger: o.Logger, due: make(chan account, waiting),
	}
	l.idle.L = &l.mu
	for i, r := range rates {
		if r.Off() {
			continue
		}
		full := time.Duration(float64(r.Burst) / r.PerSecond * float64(time.Second))
		l.kinds[i] = kind{
			// One token more than there is locally, since the library reckons in seconds
			// with fractions and gives none where a millionth of one is missing.
			limit: redis_rate.Limit{Rate: r.Burst, Burst: r.Burst + 1, Period: full},
			block: max(1, r.Burst/blocks),
			full:  full,
		}
	}
	for i := range l.shards {
		l.shards[i].owed = make(map[account]owed)
	}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	for range workers {
		l.ended.Go(func() { l.work(ctx) })
	}
	return l
}

// Close ends the charging; Take goes on locally.
func (l *Limiter) Close() {
	l.stop()
	l.ended.Wait()
}

// Burst implements limiter.Sized.
func (l *Limiter) Burst(k limiter.Kind) int { return l.local.Burst(k) }

// Take implements limiter.Limiter.
func (l *Limiter) Take(k limiter.Kind, subject limiter.Subject, n int) (wait time.Duration) {
	kind := &l.kinds[k]
	if kind.block == 0 || n <= 0 {
		return 0
	}
	n = min(n, l.local.Burst(k))
	a := account{k, subject}
	s := l.shard(&a)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.now()
	o, known := s.owed[a]
	if quiet := now.Sub(o.last); known && !o.queued && (quiet >= kind.full || quiet < 0) {
		o = owed{} // the bucket is full again, whoever took from it
	}
	if wait := l.local.Take(k, subject, n+o.debt); wait > 0 {
		return wait
	}
	if !known && len(s.owed) >= perShard && !s.makeRoom(l, now) {
		l.counts.untracked.Add(1)
		return 0
	}
	o.tokens, o.debt, o.last = o.tokens+n+o.debt, 0, now
	if o.tokens >= kind.block && !o.queued {
		o.queued = l.enqueue(a)
	}
	s.owed[a] = o
	return 0
}

// shard gives where an account is.
func (l *Limiter) shard(a *account) *shard {
	h := uint64(14695981039346656037) ^ uint64(a.kind)
	for _, b := range a.subject {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return &l.shards[(h^h>>32)%shards]
}

// makeRoom looks at some accounts and forgets those whose buckets are full again.
func (s *shard) makeRoom(l *Limiter, now time.Time) bool {
	looks := 0
	for a, o := range s.owed { // from anywhere on
		if !o.queued && now.Sub(o.last) >= l.kinds[a.kind].full {
			delete(s.owed, a)
		}
		if looks++; looks == looksForRoom {
			break
		}
	}
	return len(s.owed) < perShard
}

// key names a shared bucket.
func (l *Limiter) key(a *account) string {
	return l.prefix + ":limiter:" + strconv.Itoa(int(a.kind)) + ":" + hex.EncodeToString(a.subject[:])
}
