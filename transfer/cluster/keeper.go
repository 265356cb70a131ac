package cluster

import (
	"context"
	"slices"
	"time"

	"gannet/internal/chain"
	"gannet/transfer/cluster/parked"
)

const (
	// keepPause is how long a mark that rises all the time is kept at the least. What was
	// done since comes again after a death.
	keepPause = 100 * time.Millisecond

	// keepFails is how long a save that failed waits for the next try.
	keepFails = time.Second
)

// keeper keeps in Redis how far a follower has come, which gateways are owed a hint for what
// is done, and what is to be parked.
type keeper struct {
	queue  *Queue
	name   chain.Queue
	undone *undone
	others *owed      // that the follower adopted
	saved  chain.Mark // as far as is known
	owed   []uint64   // likewise
	stop   chan struct{}
	ended  chan struct{}
}

func (q *Queue) keep(f *follower) *keeper {
	k := &keeper{queue: q, name: f.name, undone: f.undone, others: &f.adopted, saved: f.saved, owed: f.owed, stop: make(chan struct{}), ended: make(chan struct{})}
	go k.run()
	return k
}

func (k *keeper) run() {
	defer close(k.ended)
	for {
		select {
		case <-k.stop:
			return
		case <-k.undone.awake:
		}
		pause := keepPause
		if !k.save() {
			pause = keepFails
			k.undone.wake()
		}
		select {
		case <-k.stop:
			return
		case <-time.After(pause):
		}
	}
}

// end saves once more.
func (k *keeper) end() {
	close(k.stop)
	<-k.ended
	k.save()
}

// save parks what is to be parked, then saves the mark; false: not all of it.
func (k *keeper) save() bool {
	ctx := context.Background() // a call to Redis is bounded by itself
	list := k.undone.toPark()
	for i, h := range list {
		r := parked.Record{Queue: k.name, Mark: h.record.Mark, Time: h.record.Time, Parked: time.Now(), Tries: 1, Reason: h.reason, Body: h.record.Body}
		kept, err := k.queue.parking.Park(ctx, &r)
		if err != nil {
			k.failed(err)
			k.undone.again(list[i:]...)
			return false
		}
		k.queue.parkedOne(&r, kept)
		k.undone.parked(h)
	}
	mark := k.undone.done()
	owed := k.queue.owed.list(k.others) // after the mark: with what stands for records before it
	if mark == k.saved && slices.Equal(owed, k.owed) {
		return true
	}
	if err := k.queue.state.save(ctx, k.name, mark, owed); err != nil {
		k.failed(err)
		return false
	}
	k.saved, k.owed = mark, owed
	k.queue.counts.saves.Add(1)
	return true
}

func (k *keeper) failed(err error) {
	if k.queue.counts.failedSave.Note() {
		k.queue.log.Warn("transfer: how far a queue was brought cannot be kept", "queue", k.name, "error", err)
	}
}
