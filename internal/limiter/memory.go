package limiter

import (
	"hash/maphash"
	"sync"
	"time"
)

// Bounds of the buckets of one kind.
const (
	// sets times ways is how many buckets a kind has at most; they take 1.6 MB. A bucket matters
	// only until it is full again, which takes seconds. So this is how many users or addresses may
	// be busy within that time.
	sets = 8 << 10
	ways = 8
)

// Memory is the Limiter of one process: for each kind a table of buckets that never
// grows.
//
// A bucket is one number: the time at which it will be full (the generic cell rate algorithm). A
// bucket that is full now says no more than no bucket at all. A hash with a random seed of this
// process chooses the set of a subject. If a set has no free place, it forgets the bucket that is
// full or will be full first.
//
// So to make a set forget a subject that has used up its tokens, the tokens of other subjects in
// the set must be used up, too. An attacker with many addresses does not know which of them share
// the set. The attacker would have to use up the tokens of tens of thousands of addresses again and
// again, within the seconds in which a bucket fills, and would gain one more burst of one subject.
type Memory struct {
	now   func() time.Time // nil: time.Now
	start time.Time
	seed  maphash.Seed
	kinds [Kinds]kind
}

var (
	_ Limiter = (*Memory)(nil)
	_ Sized   = (*Memory)(nil)
)

// kind has the buckets of a kind.
type kind struct {
	each  float64 // nanoseconds in which a token comes
	burst int
	full  int64 // nanoseconds in which an empty bucket fills
	sets  []set // nil: no limit
}

type set struct {
	mu      sync.Mutex
	buckets [ways]bucket
}

type bucket struct {
	subject Subject
	filled  int64 // when it is full again, in nanoseconds after origin
}

// origin stands for the start time in the times of buckets. It is far from both ends of int64, so
// that a clock that jumps causes no overflow.
const origin = 1 << 61

// NewMemory makes a Memory whose buckets are all full. now gives the time; nil means time.Now,
// whose monotonic reading does not jump. Even if the clock jumps back, a bucket takes no longer
// than usual to fill.
func NewMemory(rates Rates, now func() time.Time) *Memory {
	m := &Memory{now: now, start: time.Now(), seed: maphash.MakeSeed()}
	if now != nil {
		m.start = now()
	}
	for i, r := range rates {
		if r.Off() {
			continue
		}
		each := float64(time.Second) / r.PerSecond
		m.kinds[i] = kind{each: each, burst: r.Burst, full: int64(each * float64(r.Burst)), sets: make([]set, sets)}
	}
	return m
}

// Take implements Limiter.
func (m *Memory) Take(k Kind, subject Subject, n int) (wait time.Duration) {
	kind := &m.kinds[k]
	if kind.sets == nil || n <= 0 {
		return 0
	}
	cost := int64(kind.each * float64(min(n, kind.burst)))
	return kind.sets[maphash.Bytes(m.seed, subject[:])%sets].take(&subject, m.time(), cost, kind.full)
}

// tolerance is by how much Drain must delay the time at which a bucket is full. It ignores smaller
// differences, because others round differently.
const tolerance = time.Millisecond

// Drain says that the bucket of a subject will not be full before this time has passed, because
// others took from it, too.
func (m *Memory) Drain(k Kind, subject Subject, full time.Duration) {
	kind := &m.kinds[k]
	if kind.sets == nil || full <= 0 {
		return
	}
	now := m.time()
	kind.sets[maphash.Bytes(m.seed, subject[:])%sets].drain(&subject, now, now+min(int64(full), kind.full))
}

// drain makes the bucket of subject full no earlier than at filled.
func (s *set) drain(subject *Subject, now, filled int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := 0
	for i := range s.buckets {
		if s.buckets[i].subject == *subject {
			b = i
			break
		}
		if s.buckets[i].filled < s.buckets[b].filled {
			b = i
		}
	}
	if filled > max(now, s.buckets[b].filled)+int64(tolerance) {
		s.buckets[b] = bucket{*subject, filled}
	}
}

// Burst implements Sized.
func (m *Memory) Burst(k Kind) int { return m.kinds[k].burst }

// time gives the nanoseconds after origin.
func (m *Memory) time() int64 {
	if m.now == nil {
		return origin + int64(time.Since(m.start)) // half the cost of time.Now
	}
	return origin + int64(m.now().Sub(m.start))
}

// take takes tokens that cost this many nanoseconds of filling from the bucket of subject.
func (s *set) take(subject *Subject, now, cost, full int64) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	latest := now + full // when an empty bucket is full again; later times are of a clock that jumped back
	b, earliest := -1, 0
	for i := range s.buckets {
		s.buckets[i].filled = min(s.buckets[i].filled, latest)
		if s.buckets[i].subject == *subject {
			b = i
			break
		}
		if s.buckets[i].filled < s.buckets[earliest].filled {
			earliest = i
		}
	}
	filled := now
	if b >= 0 {
		filled = max(filled, s.buckets[b].filled)
	} else {
		b = earliest
	}
	if over := filled + cost - latest; over > 0 {
		return max(time.Duration(over), time.Millisecond)
	}
	s.buckets[b] = bucket{*subject, filled + cost}
	return 0
}
