package cluster

import (
	"context"
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

	// reportEvery is how often the broker's own tools are told.
	reportEvery = 5 * time.Second
)

// keeper keeps in Redis how far a follower has come, and what is to be parked.
type keeper struct {
	queue  *Queue
	name   chain.Queue
	undone *undone
	saved  chain.Mark // as far as is known
	told   time.Time  // when the broker's tools were
	stop   chan struct{}
	ended  chan struct{}
}

func (q *Queue) keep(f *follower) *keeper {
	k := &keeper{queue: q, name: f.name, undone: f.undone, saved: f.saved, stop: make(chan struct{}), ended: make(chan struct{})}
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
	if mark == k.saved {
		return true
	}
	if err := k.queue.state.save(ctx, k.name, mark); err != nil {
		k.failed(err)
		return false
	}
	k.saved = mark
	k.queue.counts.saves.Add(1)
	k.tell(ctx, mark)
	return true
}

// tell tells the broker's own tools.
func (k *keeper) tell(ctx context.Context, mark chain.Mark) {
	if k.queue.report == nil || time.Since(k.told) < reportEvery {
		return
	}
	k.told = time.Now()
	if err := k.queue.report(ctx, k.name, mark.Offset+1); err != nil && k.queue.counts.failedReport.Note() {
		k.queue.log.Warn("transfer: the broker's tools cannot be told how far a queue was read", "queue", k.name, "error", err)
	}
}

func (k *keeper) failed(err error) {
	if k.queue.counts.failedSave.Note() {
		k.queue.log.Warn("transfer: how far a queue was brought cannot be kept", "queue", k.name, "error", err)
	}
}
