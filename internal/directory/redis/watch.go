package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gannet/internal/redis"
)

// watchOf is how many buckets are looked at with each tick of Watch.
const watchOf = buckets / 16

// Watch tells of losses until the context ends. It looks every so often, a second if every
// is 0, whether a server is another than before (it was restarted, or a replica took over:
// the newest binds may be gone), and whether one bucket in sixteen is the one that was
// there before, for a server may be emptied under way. lost is called with what says
// whether the devices of a user may be gone; whoever has connections binds those of such
// users once more. It is called again where that may not have been enough. It begins before the first bind.
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

// watcher is what Watch knows.
type watcher struct {
	d     *Directory
	lost  func(user func(user uint64) bool)
	runs  []string
	lives [buckets]string // "": not known so far
	next  int
	all   bool // all lives are known
}

// look looks once.
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

// read looks at n buckets and gives those that are others than before. It marks those that
// have no life so far, so that the next look tells whether they are the same.
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
