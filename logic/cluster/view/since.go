package view

import (
	"context"
	"hash/crc32"
	"slices"
	"time"

	"gannet/internal/operate"
	"gannet/internal/redis"
)

// A since is a stamp and a tag made from it. So a since that this cluster never gave, or that comes
// from a store of another kind, is recognized, and counts as 0. Stamps rise, and so do sinces.
const (
	tagBits = 12
	tagMask = 1<<tagBits - 1
)

func (v *View) since(stamp uint64) uint64 {
	if stamp == 0 {
		return 0
	}
	sum := crc32.Update(crc32.ChecksumIEEE([]byte(v.options.Name)), crc32.IEEETable, []byte(number(stamp)))
	return stamp<<tagBits | uint64(sum)&tagMask
}

// stampOf gives the stamp of a since; ok is false for one that was never given.
func (v *View) stampOf(since uint64) (stamp uint64, ok bool) {
	stamp = since >> tagBits
	return stamp, stamp > 0 && v.since(stamp) == since
}

// nextPause is for how long the next stamps that the queues told are used.
const nextPause = time.Second

// lowest gives a stamp below which no queue gives any more, so that a read from now on finds all
// changes with a lower one. It asks the queues at most once a second, unless the reader has seen a
// higher stamp elsewhere (seen). For a queue that does not answer, the stamp that it told last is
// used.
func (v *View) lowest(ctx context.Context, seen uint64) (uint64, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.next > 0 && (v.next >= seen || v.deaf) && operate.Elapsed()-v.asked < nextPause {
		return v.next, nil
	}
	calls := make([]redis.Call, len(v.keys))
	for i, key := range v.keys {
		calls[i] = redis.Call{Script: tick, Keys: []string{key}}
	}
	results, err := v.client.Run(ctx, calls...)
	for i, r := range results {
		l, _ := r.([]any)
		if a := answer(l); a.code() != answerDone {
			err = ErrClosed
		} else if next, wrong := readStamp(a.text(1)); wrong != nil {
			err = wrong
		} else {
			v.nexts[i] = max(v.nexts[i], next)
		}
	}
	v.asked, v.deaf = operate.Elapsed(), err != nil
	if v.next = slices.Min(v.nexts); v.next == 0 {
		return 0, v.unavailable("no queue says what its next stamp is", err)
	}
	return v.next, nil
}
