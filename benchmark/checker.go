package benchmark

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
)

// shownFaults is how many faults a report spells out; the rest are counted. The
// first ones tell the story, later ones usually follow from them.
const shownFaults = 20

// faults collects what went wrong in a run. Safe for concurrent use.
type faults struct {
	mu    sync.Mutex
	count int
	first []string
}

func (f *faults) addf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if len(f.first) < shownFaults {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

// list gives how many faults there were and the first of them.
func (f *faults) list() (count int, first []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, f.first
}

// checker follows a conversation of two users from the side of one of them.
// received and acked must not run at the same time.
type checker struct {
	run, self, peer uint64
	faults          *faults

	counters sequence       // the peer's messages of this run, as they came
	late     uint64         // of them, those that came after a later one
	again    *atomic.Uint64 // how many the peer was told to send again; those go behind later ones
	seqs     sequence       // of the conversation: what came and what was acked
	last     uint64         // seq of the newest message that came
}

// received checks a message that came. ok is false when it is none of this
// run's, or not intact, so that its header means nothing.
func (c *checker) received(seq, sender uint64, body []byte) (h header, ok bool) {
	h, ok = readHeader(body)
	switch {
	case !ok:
		c.faults.addf("user %d: seq %d from %d came with a corrupted body", c.self, seq, sender)
		c.seq(seq)
		return h, false
	case h.Run != c.run || h.Sender != c.peer || sender != c.peer:
		c.faults.addf("user %d: seq %d from %d is message %d of user %d in run %x: not for this conversation",
			c.self, seq, sender, h.Counter, h.Sender, h.Run)
		c.seq(seq)
		return h, false
	}
	switch highest := c.counters.highest; c.counters.add(h.Counter) {
	case repeated:
		c.faults.addf("user %d: message %d of user %d came again, as seq %d", c.self, h.Counter, c.peer, seq)
		return h, false
	case impossible:
		c.faults.addf("user %d: message %d of user %d came after %d", c.self, h.Counter, c.peer, highest)
		return h, false
	case late:
		if c.late++; c.late <= c.again.Load() {
			break
		}
		c.faults.addf("user %d: message %d of user %d came after %d: reordered", c.self, h.Counter, c.peer, highest)
	}
	if seq <= c.last {
		c.faults.addf("user %d: seq %d came after seq %d", c.self, seq, c.last)
	}
	c.last = max(c.last, seq)
	c.seq(seq)
	return h, true
}

// acked checks the seq under which a message of the user's own was acked.
func (c *checker) acked(seq uint64) { c.seq(seq) }

func (c *checker) seq(seq uint64) {
	switch highest := c.seqs.highest; c.seqs.add(seq) {
	case repeated:
		c.faults.addf("user %d: seq %d was given out twice in the conversation with %d", c.self, seq, c.peer)
	case impossible:
		c.faults.addf("user %d: seq %d in the conversation with %d after %d", c.self, seq, c.peer, highest)
	}
}

// finish checks, once nothing is on its way any more, that all of the messages
// that the peer had acked have come, and that the conversation has no gaps.
func (c *checker) finish(peerAcked uint64) {
	if n := c.counters.gaps(peerAcked); n > 0 {
		c.faults.addf("user %d: %d of the %d acked messages of user %d were lost, the first is message %d",
			c.self, n, peerAcked, c.peer, c.counters.missing())
	}
	if n := c.seqs.gaps(c.seqs.highest); n > 0 {
		c.faults.addf("user %d: the conversation with %d has %d gaps up to seq %d, the first at seq %d",
			c.self, c.peer, n, c.seqs.highest, c.seqs.missing())
	}
}

// sequence is a set of numbers that are to come from 1, rising by one.
type sequence struct {
	words   []uint64 // bit n-1 is set when n has come
	count   uint64
	highest uint64
}

// maxJump bounds how far ahead of its neighbours a number may come and still be
// believed; it keeps one wrong number from taking all memory.
const maxJump = 1 << 20

// arrival says how a number came to a sequence.
type arrival uint8

const (
	ahead      arrival = iota // the highest so far
	late                      // a higher one was there
	repeated                  // it was there itself
	impossible                // 0, or further ahead than anything on its way
)

func (s *sequence) add(n uint64) arrival {
	if n == 0 || n > s.highest+maxJump {
		return impossible
	}
	word, bit := (n-1)/64, uint64(1)<<((n-1)%64)
	for uint64(len(s.words)) <= word {
		s.words = append(s.words, 0)
	}
	if s.words[word]&bit != 0 {
		return repeated
	}
	s.words[word] |= bit
	s.count++
	if n < s.highest {
		return late
	}
	s.highest = n
	return ahead
}

// gaps gives how many numbers from 1 to last have not come.
func (s *sequence) gaps(last uint64) uint64 {
	if s.count >= last && s.highest == s.count {
		return 0
	}
	var came uint64
	for i, w := range s.words {
		if end := uint64(i+1) * 64; end > last {
			if uint64(i)*64 < last {
				came += uint64(bits.OnesCount64(w & (1<<(last%64) - 1)))
			}
			break
		}
		came += uint64(bits.OnesCount64(w))
	}
	return last - came
}

// missing gives the lowest number that has not come.
func (s *sequence) missing() uint64 {
	for i, w := range s.words {
		if w != ^uint64(0) {
			return uint64(i)*64 + uint64(bits.TrailingZeros64(^w)) + 1
		}
	}
	return uint64(len(s.words))*64 + 1
}
