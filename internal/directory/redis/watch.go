package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gannet/internal/redis"
)

// watchOf is how many buckets Watch checks with each tick.
const watchOf = buckets / 16

// Watch reports losses until ctx ends. Start it before the first bind. With every tick (every, or
// one second if that is 0) it checks two things: whether a server is a different one than before
// (it was restarted or a replica took over, so the newest binds may be gone); and whether one
// sixteenth of the buckets are the same as before, because a server may be emptied while it runs.
//
// After a loss Watch calls lost with a function that says whether the devices of a user may be
// gone. The caller binds its connections of such users once more. Watch calls lost again if
// binding once may not have been enough.
func (d *Directory) Watch(ctx context.Context, every time.Duration, lost func(user func(user uint64) bool)) {
	if every <= 0 {
		every = time.Second
	}
	w := watcher{d: d, lost: lost}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil && d.counts.unanswered.Note() {
			d.logger.Warn("directory: it is not known whether Redis lost devices", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// watcher is the state of Watch.
type watcher struct {
	d     *Directory
	lost  func(user func(user uint64) bool)
	runs  []string
	lives [buckets]string // by bucket; "": not known yet
	next  int
	all   bool // the lives of all buckets are known
}

// look makes one check.
func (w *watcher) look(ctx context.Context) error {
	runs, err := w.d.client.Runs(ctx)
	if err != nil {
		return err
	}
	if !w.all {
		if _, err := w.read(ctx, 0, buckets); err != nil {
			return err
		}
		w.runs, w.all = runs, true
		return nil
	}
	if !slices.Equal(runs, w.runs) {
		if _, err := w.read(ctx, 0, buckets); err != nil {
			return err
		}
		w.runs = runs
		w.tell(func(uint64) bool { return true })
		return nil
	}
	gone, err := w.read(ctx, w.next, watchOf)
	if len(gone) > 0 {
		w.tell(func(user uint64) bool { return gone[bucketOf(user)] })
	}
	if err == nil {
		w.next = (w.next + watchOf) % buckets
	}
	return err
}

func (w *watcher) tell(user func(user uint64) bool) {
	if w.d.counts.lost.Note() {
		w.d.logger.Warn("directory: Redis may have lost devices; they are bound once more")
	}
	w.lost(user)
}

// read looks at n buckets and gives those that are not the ones seen before. It marks buckets
// that have no life yet, so that the next look can recognise them.
func (w *watcher) read(ctx context.Context, first, n int) (gone map[int]bool, err error) {
	gone = make(map[int]bool)
	err = w.d.some(ctx, first, n, func(int) redis.Call {
		return redis.Call{Script: life, Args: []any{rand.Uint64()}}
	}, func(bucket int, result any) error {
		is, _ := result.(string)
		if is == "" {
			return fmt.Errorf("directory: %v tells no bucket from another", result)
		}
		if before := w.lives[bucket]; before != "" && before != is {
			gone[bucket] = true
		}
		w.lives[bucket] = is
		return nil
	})
	return gone, err
}
