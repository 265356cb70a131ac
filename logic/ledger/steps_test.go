package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"gannet/protocol"
)

// A game is a ledger and what happens to it. It is plain data, and each action is
// relative to how things stand when it is played, so that any part of a game is a
// game: that is how a failing one is made small.
type game struct {
	checkpoint uint64
	cache      int
	clientIDs  int
	queues     int
	loads      int // conversations that a user has loaded by one record
	devices    int // that a conversation knows of a user
	limited    bool
	steps      []step
}

// step is one record of the queue.
type step struct {
	elapse  int64 // milliseconds since the last one; the clock may be set back
	batches [][]action
	acks    bool // Input.Acks
	trouble trouble
	end     ending
	looks   bool    // readers look while the source is asked
	recalls [2]bool // windows are read back before the record is settled, and after
	begins  int     // how many conversations each user may begin more, if that is limited
	learns  learning
}

// action becomes an entry of a batch, or many.
type action struct {
	verb verb
	talk int // index in talks
	who  int // chooses one of the talk's devices
	n    int // what it means depends on the verb
}

type verb uint8

const (
	sendNext      verb = iota // the device's next client id
	sendSilent                // likewise, a silent message
	sendJump                  // ids are left out
	sendRepeat                // an id that was tried before, n tries back
	sendLeftOut               // an id below the highest that was not accepted
	sendAncient               // an id far below the highest
	sendBurst                 // n messages with rising ids
	ackHead                   // PUSHACK of everything, of more than there is, or of less
	ackPast                   //
	ackBelow                  //
	readHead                  // READ likewise
	readPast                  //
	readBelow                 //
	verbs         = iota
	frequentVerbs = 6 // of the others the first ones are chosen more often
)

var verbNames = [verbs]string{
	"send next", "send silent", "send after a jump", "send again", "send one left out", "send an ancient one", "send a burst",
	"ack the head", "ack past the head", "ack below the head", "read the head", "read past the head", "read below the head",
}

// trouble is what the source does not do during a step.
type trouble struct {
	all     bool
	talks   uint16 // those that cannot be loaded, a bit each
	devices uint16 // those whose messages cannot be gone through, a bit for each user and device
}

type ending uint8

const (
	settle     ending = iota
	abandon           // nothing was written
	settleLost        // settled; then the queue is lost and memory with it
	crashFirst        // memory is lost before anything is written
	crashLater        // memory is lost after it is written, before it is settled
	endings    = iota
)

var endingNames = [endings]string{"settle", "abandon", "settle, forget", "forget", "write, forget"}

type learning uint8

const (
	learnNothing learning = iota
	learnCounts           // readers look up what View did not know, and Learn is told
	learnLate             // Learn is told of a cursor that has moved on
)

// talks are the conversations of a game. With two queues some belong to the other.
var talks = []key{
	{Kind: protocol.KindDirect, A: 1, B: 2},
	{Kind: protocol.KindDirect, A: 1, B: 3},
	{Kind: protocol.KindDirect, A: 2, B: 3},
	{Kind: protocol.KindDirect, A: 1, B: 1},
	{Kind: protocol.KindGroup, A: 7},
	{Kind: protocol.KindGroup, A: 8},
	{Kind: protocol.KindSystem, A: 1},
	{Kind: protocol.KindSystem, A: 3},
}

// devicesOf gives who may do something in a conversation: each user with two
// devices, and the server.
func devicesOf(k key) []origin {
	switch {
	case k.Kind == protocol.KindSystem:
		return []origin{{0, 0}, {k.A, 1}, {k.A, 2}}
	case k.Kind == protocol.KindGroup:
		return []origin{{1, 1}, {1, 2}, {2, 1}, {3, 1}, {3, 2}}
	case k.A == k.B:
		return []origin{{k.A, 1}, {k.A, 2}}
	}
	return []origin{{k.A, 1}, {k.A, 2}, {k.B, 1}, {k.B, 2}}
}

func (o origin) bit() uint16 { return 1 << (2*o.user + o.device%2) }

// choices turns bytes into decisions. When they are used up every answer is 0.
type choices []byte

func (c *choices) below(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// oneIn is true once in n times.
func (c *choices) oneIn(n int) bool { return c.below(n) == n-1 }

const hour = 3_600_000 // milliseconds

// A game has at most maxSteps steps and maxLong bursts that fill a window.
const (
	maxSteps = 120
	maxLong  = 10
)

// newGame makes a game from bytes. With bursts the devices come past the end of
// their windows.
func newGame(data []byte, bursts bool) game {
	c := choices(data)
	g := game{
		checkpoint: []uint64{1, 3, 64}[c.below(3)],
		cache:      []int{2, 4, 64}[c.below(3)],
		queues:     1 + c.below(2),
	}
	near := 1 + c.below(len(talks)) // how many conversations the game is about
	first := c.below(len(talks))
	g.clientIDs = []int{0, 1 << 20}[c.below(2)] // the least, or enough for all
	g.loads, g.devices = []int{1, 2, 0}[c.below(3)], []int{1, 2, 0}[c.below(3)]
	g.limited = c.oneIn(3)
	long := 0
	for len(c) > 0 && len(g.steps) < maxSteps {
		s := step{elapse: []int64{0, 1, 90, 400, 700, 1000, 2500, -300, -5000, hour, -hour, 25 * hour}[c.below(12)]}
		for range c.below(3) {
			var batch []action
			for range 1 + c.below(7) {
				a := action{talk: (first + c.below(near)) % len(talks), who: c.below(5), n: c.below(12)}
				switch v := c.below(2*frequentVerbs + verbs); {
				case v < 2*frequentVerbs:
					a.verb = [...]verb{sendNext, sendRepeat, sendNext, ackHead, readHead, readBelow}[v/2]
				default:
					a.verb = verb(v - 2*frequentVerbs)
				}
				if bursts && c.oneIn(5) {
					a.verb = sendBurst
				}
				if a.verb == sendBurst {
					a.n = 3 + a.n
					if bursts && long < maxLong {
						long++
						a.n, a.who = 90*a.n, a.who/4
					}
				}
				batch = append(batch, a)
			}
			s.batches = append(s.batches, batch)
		}
		s.acks, s.looks = c.oneIn(9), c.oneIn(3)
		if c.oneIn(5) {
			s.trouble = trouble{all: c.oneIn(4), talks: uint16(c.below(256)), devices: uint16(c.below(256))}
		}
		if e := c.below(16); e < int(endings)*2 {
			s.end = ending(e / 2)
		}
		s.learns = learning(c.below(3))
		s.recalls = [2]bool{c.oneIn(2), c.oneIn(2)}
		s.begins = c.below(3)
		g.steps = append(g.steps, s)
	}
	return g
}

// seededBytes gives the bytes of a seed's game; every sixteenth has bursts.
func seededBytes(seed uint64) (data []byte, bursts bool) {
	r := rand.New(rand.NewPCG(seed, 10))
	bursts = seed%16 == 15
	data = make([]byte, 400+r.IntN(1200))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	if bursts {
		data = data[:400]
		data[2], data[3], data[4] = 0, 0, 0 // one queue, one conversation
		data[8] = 0                         // begun without limit
	}
	return data, bursts
}

// smaller gives a game that fails still, with as few steps and actions as leaving
// some out achieves.
func (g game) smaller(fails func(game) bool) game {
	for size := max(len(g.steps)/2, 1); ; {
		found := false
		for at := 0; at+size <= len(g.steps); {
			h := g
			h.steps = slices.Delete(slices.Clone(g.steps), at, at+size)
			if fails(h) {
				g, found = h, true
			} else {
				at += size
			}
		}
		if size == 1 && !found {
			break
		}
		size = max(size/2, 1)
	}
	for i := range g.steps {
		for _, simpler := range []func(*step){
			func(s *step) { s.trouble = trouble{} },
			func(s *step) { s.acks = false },
			func(s *step) { s.looks = false },
			func(s *step) { s.learns = learnNothing },
			func(s *step) { s.recalls = [2]bool{} },
			func(s *step) { s.end = settle },
			func(s *step) { s.elapse = 0 },
		} {
			g.try(fails, i, simpler)
		}
		for b := len(g.steps[i].batches) - 1; b >= 0; b-- {
			if g.try(fails, i, func(s *step) { s.batches = slices.Delete(slices.Clone(s.batches), b, b+1) }) {
				continue
			}
			for a := len(g.steps[i].batches[b]) - 1; a >= 0; a-- {
				g.try(fails, i, func(s *step) {
					s.batches = slices.Clone(s.batches)
					s.batches[b] = slices.Delete(slices.Clone(s.batches[b]), a, a+1)
				})
			}
		}
	}
	return g
}

// try makes step i simpler if the game fails then too.
func (g *game) try(fails func(game) bool, i int, simpler func(*step)) bool {
	h := *g
	h.steps = slices.Clone(g.steps)
	simpler(&h.steps[i])
	if !fails(h) {
		return false
	}
	*g = h
	return true
}

func (g game) String() string {
	return fmt.Sprintf("checkpoint %d, cache %d, client ids %d, queues %d, loads %d, devices %d, limited %v, %d steps",
		g.checkpoint, g.cache, g.clientIDs, g.queues, g.loads, g.devices, g.limited, len(g.steps))
}
