// Package redis limits what a user or an address may ask of all nodes together.
//
// Each process has local buckets, which decide at once. A local bucket is a guess of the bucket in
// Redis that all processes share. The tokens that were taken are charged to the shared bucket
// afterwards, a block at a time, and without making the caller wait. The answer corrects the guess:
// what other processes took is then missing in the local bucket, too. Tokens that the shared bucket
// did not have are a debt. They must be in the local bucket once more before anything else is
// taken, and are charged again.
//
// So nobody ever waits for Redis, and no tokens are lost with a process that dies, as tokens leased
// in advance would be. One process alone allows exactly what the port says. Many processes together
// allow the rate in the long run, and at the beginning at most one burst each.
//
// While Redis is away only the local buckets count, so each process allows the whole rate.
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
	// blocks is into how many charges a burst is divided. About one block is taken of a subject
	// before the other processes know.
	blocks = 16

	shards       = 64
	perShard     = 1024 // subjects that owe something
	looksForRoom = 8    // accounts that makeRoom looks at
	waiting      = 1024 // charges that wait for a worker
	workers      = 4
	awayFor      = time.Second // nothing is charged for this long after a failure
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
	limit redis_rate.Limit // Burst 0: no limit
	block int
	full  time.Duration // in which an empty bucket fills
}

type account struct {
	kind    limiter.Kind
	subject limiter.Subject
}

// shard has what some of the subjects owe to their shared buckets.
type shard struct {
	mu   sync.Mutex
	owed map[account]owed
}

type owed struct {
	tokens int  // taken, and not charged so far
	debt   int  // taken, but the shared bucket did not have them when they were charged
	queued bool // a charge waits
	last   time.Time
}

type counters struct {
	unanswered operate.Trouble // charges that Redis did not answer: only this process knows of them
	skipped    atomic.Uint64   // charges not tried: Redis had just failed, or the queue was full
	untracked  atomic.Uint64   // takes without room to note them: only this process knows of them
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
			// One token more than the local bucket has. The library calculates in fractions of
			// seconds, and gives no token if a millionth of one is missing.
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

// Close ends the charging. Take goes on with the local buckets.
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
		o = owed{} // what was taken here has filled up again
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

// shard gives the shard of an account.
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
	for a, o := range s.owed { // maps are iterated in random order
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
