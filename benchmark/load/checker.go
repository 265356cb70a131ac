package load

import (
	"sync/atomic"

	"gannet/benchmark/report"
)

// checker follows a conversation of two users from the side of one of them.
// received and acked must not run at the same time.
type checker struct {
	run, self, peer uint64
	mixed           bool // Config.Mixed
	faults          *report.Faults

	counters sequence       // the peer's messages of this run, as they came
	late     uint64         // of them, those that came after a later one
	again    *atomic.Uint64 // how many the peer was told to send again; those go behind later ones
	seqs     sequence       // of the conversation: what came and what was acked
	last     uint64         // seq of the newest message that came

	repeats, lost uint64 // messages, among the faults
}

// received checks a message that came. ok is false when it is none of this
// run's, or not intact, so that its header means nothing.
func (c *checker) received(seq, sender uint64, body []byte) (h header, ok bool) {
	h, ok = readHeader(body)
	switch {
	case !ok:
		c.faults.Addf("user %d: seq %d from %d came with a corrupted body", c.self, seq, sender)
		c.seq(seq)
		return h, false
	case h.Run != c.run || h.Sender != c.peer || sender != c.peer:
		c.faults.Addf("user %d: seq %d from %d is message %d of user %d in run %x: not for this conversation",
			c.self, seq, sender, h.Counter, h.Sender, h.Run)
		c.seq(seq)
		return h, false
	}
	switch highest := c.counters.highest; c.counters.add(h.Counter) {
	case repeated:
		c.repeats++
		c.faults.Addf("user %d: message %d of user %d came again, as seq %d", c.self, h.Counter, c.peer, seq)
		return h, false
	case impossible:
		c.faults.Addf("user %d: message %d of user %d came after %d", c.self, h.Counter, c.peer, highest)
		return h, false
	case late:
		if c.late++; c.mixed || c.late <= c.again.Load() {
			break
		}
		c.faults.Addf("user %d: message %d of user %d came after %d: reordered", c.self, h.Counter, c.peer, highest)
	}
	if seq <= c.last {
		c.faults.Addf("user %d: seq %d came after seq %d", c.self, seq, c.last)
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
		c.faults.Addf("user %d: seq %d was given out twice in the conversation with %d", c.self, seq, c.peer)
	case impossible:
		c.faults.Addf("user %d: seq %d in the conversation with %d after %d", c.self, seq, c.peer, highest)
	}
}

// finish checks, once nothing is on its way any more, that all of the messages
// that the peer had acked have come, and that the conversation has no gaps.
func (c *checker) finish(peerAcked uint64) {
	if n := c.counters.gaps(peerAcked); n > 0 {
		c.lost = n
		c.faults.Addf("user %d: %d of the %d acked messages of user %d were lost, the first is message %d",
			c.self, n, peerAcked, c.peer, c.counters.missing())
	}
	if n := c.seqs.gaps(c.seqs.highest); n > 0 {
		c.faults.Addf("user %d: the conversation with %d has %d gaps up to seq %d, the first at seq %d",
			c.self, c.peer, n, c.seqs.highest, c.seqs.missing())
	}
}
