package cluster

import (
	"context"
	"slices"
	"time"

	"gannet/internal/chain"
	"gannet/transfer/cluster/parked"
)

const (
	// keepPause is the least time between two saves of a mark. After a crash, the records that were
	// done since the last save come again.
	keepPause = 100 * time.Millisecond

	// keepFails is the pause after a save that failed.
	keepFails = time.Second
)

// keeper saves in Redis how far a follower has come and which gateways are owed a hint, and parks
// records.
type keeper struct {
	queue  *Queue
	name   chain.Queue
	undone *undone
	others *owed      // the hints that the follower adopted
	saved  chain.Mark // what Redis has, as far as is known
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

// save parks the records that must be parked, then saves the mark. It returns false if something
// failed.
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
	owed := k.queue.owed.list(k.others) // read after the mark: no hint for a record before it is missing
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
