package embedded

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
)

var (
	crashSeed   = flag.Uint64("crash.seed", 0, "replay TestCrash with this seed; the interleaving of its goroutines still varies")
	crashRounds = flag.Int("crash.rounds", 15, "how many stores TestCrash lets die, several times each")
)

// TestCrash lets devices send, retry, ack and read until the machine dies at some
// moment: what was not synced is lost, whole or in parts. The store that comes up
// again, with another number of queues, must hold all that was promised, and go on
// from there; it dies several times.
func TestCrash(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with -crash.seed=%d", seed)
	const lives = 3
	checked := 0
	for round := range *crashRounds {
		w := newCrashWorld(t, rand.New(rand.NewPCG(seed, uint64(round))))
		for life := range lives {
			w.name = fmt.Sprintf("seed %d, round %d, life %d", seed, round, life)
			w.live()
			w.die()
			w.checkSeen()
			w.check()
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
		checked += w.keptAcks
	}
	if checked == 0 {
		t.Error("no ack became a second old in time; the test says nothing about them")
	}
}

// A crashWorld has devices of four users, each sending to all four.
type crashWorld struct {
	t       *testing.T
	name    string
	rng     *rand.Rand
	fs      *vfs.MemFS
	opts    Options
	clock   *movedClock
	store   *Store
	devices []*crashDevice

	mu      sync.RWMutex // held shared to note a result, whole to die
	dead    bool
	budget  atomic.Int64 // batches until the crash
	crashed chan struct{}

	taken    []atomic.Int64 // by queue: acks up to here, by the clock, went with a batch that returned
	keptAcks int            // acks that were looked for after a crash
	seen     *crashSeen
}

type crashDevice struct {
	rng          *rand.Rand
	user, device uint64
	nextID       uint64
	messages     []*crashMessage
	acks         map[uint64][]crashAck // by peer, in the order of the answers
	read         map[uint64]uint64     // by peer: where READ was answered to be
	mostAcked    map[uint64]uint64     // by peer: what was asked
	mostRead     map[uint64]uint64
}

type crashMessage struct {
	peer, id  uint64
	seq, time uint64 // 0 as long as it is not acked
}

// crashAck is an ack that was answered.
type crashAck struct {
	seq uint64
	at  int64 // the clock at the answer
}

const crashUsers = 4

func newCrashWorld(t *testing.T, rng *rand.Rand) *crashWorld {
	w := &crashWorld{t: t, rng: rng, fs: vfs.NewCrashableMem(), clock: newClock(), seen: newCrashSeen()}
	w.opts = Options{
		CacheConversations: []int{1, 100}[rng.IntN(2)],
		Now:                w.clock.now,
		tune:               func(o *pebble.Options) { o.MemTableSize = 64 << 10 }, // so that flushes happen
		markPause:          []time.Duration{time.Millisecond, time.Second}[rng.IntN(2)],
		block:              checkpoint, // so that the ceiling is raised
	}
	for user := uint64(1); user <= crashUsers; user++ {
		for device := uint64(1); device <= 2; device++ {
			w.devices = append(w.devices, &crashDevice{
				user: user, device: device, acks: make(map[uint64][]crashAck),
				read: make(map[uint64]uint64), mostAcked: make(map[uint64]uint64), mostRead: make(map[uint64]uint64),
			})
		}
	}
	w.open()
	return w
}

func (w *crashWorld) open() {
	w.opts.FS, w.opts.Queues = w.fs, 1+w.rng.IntN(4)
	store, err := Open("data", w.opts)
	if err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
	if w.store != nil && store.Identity() != w.store.Identity() {
		w.t.Errorf("%s: the store is called %x, was %x", w.name, store.Identity(), w.store.Identity())
	}
	w.store, w.dead, w.crashed = store, false, make(chan struct{})
	w.taken = make([]atomic.Int64, w.opts.Queues)
}

// live lets every device work until the crash.
func (w *crashWorld) live() {
	w.budget.Store(1 + w.rng.Int64N(150))
	var wg sync.WaitGroup
	for _, d := range w.devices {
		d.rng = rand.New(rand.NewPCG(w.rng.Uint64(), d.user))
		wg.Go(func() { w.work(d) })
	}
	for range 2 {
		rng := rand.New(rand.NewPCG(w.rng.Uint64(), 0))
		wg.Go(func() { w.readAlong(rng) })
	}
	<-w.crashed
	w.mu.Lock()
	w.dead = true
	w.mu.Unlock()
	// Whatever is noted had returned before this moment; more may be on the disk.
	clone := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[w.rng.IntN(3)], RNG: w.rng})
	wg.Wait()
	w.fs = clone
}

// die ends the old store, whose disk nobody sees any more, and opens the new one.
func (w *crashWorld) die() {
	w.keep()
	left, _, err := readMark(w.fs, markPath("data"))
	if err != nil {
		w.t.Fatalf("%s: the mark: %v", w.name, err)
	}
	if err := w.store.Close(); err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
	w.open() // which compares commits with the mark
	w.checkMark(&left)
}

// keep forgets the acks that the crash may have taken: those that were not a second
// old when the last batch of their queue was made.
func (w *crashWorld) keep() {
	for _, d := range w.devices {
		for peer, acks := range d.acks {
			n, until := 0, w.taken[w.store.queueOf(direct(d.user, peer)).index].Load()
			for n < len(acks) && acks[n].at <= until {
				n++
			}
			d.acks[peer] = acks[:n]
			w.keptAcks += n
		}
	}
}

func (w *crashWorld) work(d *crashDevice) {
	for {
		b, messages := d.batch()
		begun := w.clock.ms.Add(d.rng.Int64N(100))
		if w.budget.Add(-1) == 0 {
			close(w.crashed)
		}
		if err := b.applyTo(w.t, w.store); err != nil {
			w.t.Errorf("%s: %v", w.name, err)
			return
		}
		w.mu.RLock()
		dead := w.dead
		if !dead {
			taken := &w.taken[b.Queue]
			for old := taken.Load(); old < begun-1000 && !taken.CompareAndSwap(old, begun-1000); old = taken.Load() {
			}
			w.note(d, b, messages)
		}
		w.mu.RUnlock()
		if dead {
			return
		}
	}
}

// batch makes a batch for one peer: retries, messages that were held back, new ones,
// an ack and a read cursor.
func (d *crashDevice) batch() (b *entries, messages []*crashMessage) {
	b = new(entries)
	peer := 1 + d.rng.Uint64N(crashUsers)
	var own []*crashMessage
	for _, m := range d.messages {
		if m.peer == peer {
			own = append(own, m)
		}
	}
	for range 1 + d.rng.IntN(6) {
		if n := len(own); n > 0 && d.rng.IntN(3) == 0 {
			m := own[max(0, n-1-d.rng.IntN(40))]
			b.send(d.user, d.device, peer, m.id)
			messages = append(messages, m)
			continue
		}
		d.nextID += 1 + d.rng.Uint64N(3)
		m := &crashMessage{peer: peer, id: d.nextID}
		d.messages = append(d.messages, m)
		if d.rng.IntN(5) == 0 {
			own = append(own, m) // held back: as if it had been rejected
			continue
		}
		b.send(d.user, d.device, peer, m.id)
		messages = append(messages, m)
	}
	ack, read := d.mostAcked[peer]+d.rng.Uint64N(20), d.mostRead[peer]+d.rng.Uint64N(10)
	b.ack(d.user, d.device, peer, ack)
	if d.rng.IntN(3) == 0 {
		b.read(d.user, d.device, peer, read)
	}
	return b, messages
}

// note keeps what Apply promised. A message that was acked before must have got the
// same answer.
func (w *crashWorld) note(d *crashDevice, b *entries, messages []*crashMessage) {
	for i, m := range messages {
		e := b.Entries[i]
		if e.Outcome != logic.Applied && e.Outcome != logic.Repeated || m.seq != 0 && (e.Outcome != logic.Repeated || e.Seq != m.seq || e.Time != m.time) {
			w.t.Errorf("%s: client id %d was seq %d, time %d; now outcome %d, seq %d, time %d",
				w.name, m.id, m.seq, m.time, e.Outcome, e.Seq, e.Time)
		}
		m.seq, m.time = e.Seq, e.Time
	}
	peer := b.Entries[0].Conversation.Target(d.user).ID
	for _, e := range b.Entries[len(messages):] {
		if e.Seq > e.Delivered || e.Read > e.Delivered {
			w.t.Errorf("%s: a cursor came back as %+v", w.name, e)
		}
		if n := len(messages); e.Op == b.Entries[n].Op {
			d.acks[peer] = append(d.acks[peer], crashAck{e.Seq, w.clock.ms.Load()})
			d.mostAcked[peer] = max(d.mostAcked[peer], e.Seq)
		} else {
			d.read[peer], d.mostRead[peer] = e.Read, max(d.mostRead[peer], e.Read)
		}
	}
}
