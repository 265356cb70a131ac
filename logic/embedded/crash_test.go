package embedded

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/protocol"
)

var (
	crashSeed   = flag.Uint64("crash.seed", 0, "replay TestCrash with this seed; the interleaving of its goroutines still varies")
	crashRounds = flag.Int("crash.rounds", 15, "how many stores TestCrash lets die, several times each")
)

// TestCrash lets devices send, retry and move cursors until the machine dies at
// some moment: what was not synced is lost, whole or in parts. The store that
// comes up again must hold all that was promised, and go on from there; it dies
// several times.
func TestCrash(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("replay with -crash.seed=%d", seed)
	const lives = 3
	for round := range *crashRounds {
		w := newCrashWorld(t, rand.New(rand.NewPCG(seed, uint64(round))))
		for life := range lives {
			w.name = fmt.Sprintf("seed %d, round %d, life %d", seed, round, life)
			w.live()
			w.die()
			w.check()
		}
		if err := w.store.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
}

// A crashWorld has devices of four users, each sending to the three others.
type crashWorld struct {
	t       *testing.T
	name    string
	rng     *rand.Rand
	fs      *vfs.MemFS
	opts    Options
	store   *Store
	devices []*crashDevice

	mu      sync.RWMutex // held shared to note a result, whole to die
	dead    bool
	budget  atomic.Int64 // batches until the crash
	crashed chan struct{}
}

type crashDevice struct {
	rng          *rand.Rand
	user, device uint64
	nextID       uint64
	messages     []*crashMessage
	acked        map[uint64]logic.Position // by peer: the cursors that were acknowledged
}

type crashMessage struct {
	peer, id  uint64
	seq, time uint64 // 0 as long as it is not acked
}

const crashUsers = 4

func newCrashWorld(t *testing.T, rng *rand.Rand) *crashWorld {
	w := &crashWorld{t: t, rng: rng, fs: vfs.NewCrashableMem()}
	w.opts = Options{
		Lanes:              1 + rng.IntN(3),
		CacheConversations: []int{1, 100}[rng.IntN(2)],
		tune:               func(o *pebble.Options) { o.MemTableSize = 64 << 10 }, // so that flushes happen
	}
	for user := uint64(1); user <= crashUsers; user++ {
		for device := uint64(1); device <= 2; device++ {
			w.devices = append(w.devices, &crashDevice{user: user, device: device, acked: make(map[uint64]logic.Position)})
		}
	}
	w.open()
	return w
}

func (w *crashWorld) open() {
	w.opts.FS = w.fs
	store, err := Open("data", w.opts)
	if err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
	w.store, w.dead, w.crashed = store, false, make(chan struct{})
}

// live lets every device work until the crash.
func (w *crashWorld) live() {
	w.budget.Store(1 + w.rng.Int64N(120))
	var wg sync.WaitGroup
	for _, d := range w.devices {
		d.rng = rand.New(rand.NewPCG(w.rng.Uint64(), d.user))
		wg.Go(func() { w.work(d) })
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
	if err := w.store.Close(); err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
	w.open()
}

func (w *crashWorld) work(d *crashDevice) {
	for {
		b, messages := d.batch(len(w.store.lanes))
		if w.budget.Add(-1) == 0 {
			close(w.crashed)
		}
		if err := b.appendTo(w.store); err != nil {
			w.t.Errorf("%s: %v", w.name, err)
			return
		}
		w.mu.RLock()
		dead := w.dead
		if !dead {
			w.note(d, b, messages)
		}
		w.mu.RUnlock()
		if dead {
			return
		}
	}
}

// batch makes a batch for one peer and lane: retries, messages that were held
// back, new ones, and cursors.
func (d *crashDevice) batch(lanes int) (b *entries, messages []*crashMessage) {
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
	seq := d.rng.Uint64N(200)
	return b.cursor(d.user, d.device, peer, seq, d.rng.Uint64N(seq+1)), messages
}

// note keeps what Append promised. A message that was acked before must have
// got the same answer.
func (w *crashWorld) note(d *crashDevice, b *entries, messages []*crashMessage) {
	for i, m := range messages {
		e := b.Entries[i]
		if e.Outcome == logic.Stale || m.seq != 0 && (e.Outcome != logic.Repeated || e.Seq != m.seq || e.Time != m.time) {
			w.t.Errorf("%s: client id %d was seq %d, time %d; now outcome %d, seq %d, time %d",
				w.name, m.id, m.seq, m.time, e.Outcome, e.Seq, e.Time)
		}
		m.seq, m.time = e.Seq, e.Time
	}
	e := b.Entries[len(b.Entries)-1]
	d.acked[e.Conversation.Target(d.user).ID] = logic.Position{Delivered: e.Delivered, Read: e.Read}
}

// check compares the store with what was promised, then retries everything.
func (w *crashWorld) check() {
	type key struct {
		c                protocol.Conversation
		user, device, id uint64
	}
	found := make(map[key]protocol.Message)
	heads := make(map[protocol.Conversation]uint64)
	ctx := context.Background()
	for a := uint64(1); a <= crashUsers; a++ {
		for b := a; b <= crashUsers; b++ {
			c := direct(a, b)
			err := w.store.Read(ctx, c, 1, ^uint64(0), false, func(seq uint64, message []byte) bool {
				var m protocol.Message
				if m.Decode(message) != nil || m.Seq != seq || seq != heads[c]+1 {
					w.t.Errorf("%s: %v has seq %d after %d", w.name, c, seq, heads[c])
				}
				heads[c] = seq
				k := key{c, m.Sender, m.Device, m.ClientID}
				if first, twice := found[k]; twice {
					w.t.Errorf("%s: %v has %+v as seq %d and %d", w.name, c, k, first.Seq, seq)
				}
				found[k] = m
				return true
			})
			if err != nil {
				w.t.Fatalf("%s: %v", w.name, err)
			}
		}
	}
	for _, d := range w.devices {
		for peer, acked := range d.acked {
			p, err := w.store.Positions(ctx, direct(d.user, peer), []uint64{d.user}, nil)
			if err != nil || p[0].Delivered < acked.Delivered || p[0].Read < acked.Read || p[0].Delivered > heads[direct(d.user, peer)] {
				w.t.Errorf("%s: user %d with %d is at %v (%v), acked was %v", w.name, d.user, peer, p, err, acked)
			}
		}
		for _, m := range d.messages {
			c := direct(d.user, m.peer)
			there, ok := found[key{c, d.user, d.device, m.id}]
			if m.seq != 0 && (!ok || there.Seq != m.seq || there.Time != m.time) {
				w.t.Errorf("%s: seq %d of %v was acked and is now %+v", w.name, m.seq, c, there)
			}
			e := mustSend(w.t, w.store, d.user, d.device, m.peer, m.id)
			switch {
			case ok && (e.Outcome != logic.Repeated || e.Seq != there.Seq || e.Time != there.Time):
				w.t.Errorf("%s: the retry of seq %d of %v got outcome %d, seq %d", w.name, there.Seq, c, e.Outcome, e.Seq)
			case !ok && (e.Outcome != logic.Applied || e.Seq != heads[c]+1):
				w.t.Errorf("%s: a lost message of %v got outcome %d, seq %d; the head was %d", w.name, c, e.Outcome, e.Seq, heads[c])
			}
			heads[c] = max(heads[c], e.Seq)
			m.seq, m.time = e.Seq, e.Time
		}
	}
}
