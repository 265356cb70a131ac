package cluster

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"gannet/internal/chain"
)

// owed is the epochs of gateways that are owed a hint to sync everything, which stands for
// pushes of records that are done. Each queue's mark in Redis has them beside it, so that
// whoever follows the queue next gives the hint.
type owed struct {
	mu     sync.Mutex
	epochs []uint64 // rising
}

func (o *owed) set(epoch uint64, is bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, found := slices.BinarySearch(o.epochs, epoch)
	switch {
	case is && !found:
		o.epochs = slices.Insert(o.epochs, i, epoch)
	case !is && found:
		o.epochs = slices.Delete(o.epochs, i, i+1)
	}
}

// list gives those that either is owed, rising.
func (o *owed) list(other *owed) []uint64 {
	var all []uint64
	for _, x := range []*owed{o, other} {
		x.mu.Lock()
		all = append(all, x.epochs...)
		x.mu.Unlock()
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Owes implements transfer.Parking.
func (q *Queue) Owes(epoch uint64, owes bool) {
	q.owed.set(epoch, owes)
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, f := range q.followers {
		f.undone.wake()
	}
}

// adopt gives the hints that whoever followed the queue before still owed. Those that it
// has not given when ctx ends stay owed.
func (f *follower) adopt(ctx context.Context, epochs []uint64) {
	for _, epoch := range epochs {
		f.adopted.set(epoch, true)
		go func() {
			if f.queue.hints.gateway(ctx, epoch); ctx.Err() == nil {
				f.adopted.set(epoch, false)
				f.undone.wake()
			}
		}()
	}
}

// mostOwed bounds what a mark has beside it: more gateways than a cluster has.
const mostOwed = 4096

// appendOwed encodes the epochs behind a mark: how many there are, u16, and each, u64.
func appendOwed(dst []byte, epochs []uint64) []byte {
	epochs = epochs[:min(len(epochs), mostOwed)]
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(epochs)))
	for _, e := range epochs {
		dst = binary.BigEndian.AppendUint64(dst, e)
	}
	return dst
}

// readOwed reads the epochs behind a mark; an earlier program wrote none.
func readOwed(value string) (epochs []uint64) {
	if len(value) < markSize+2 {
		return nil
	}
	b := []byte(value[markSize:])
	n := int(binary.BigEndian.Uint16(b))
	for b = b[2:]; len(epochs) < n && len(b) >= 8; b = b[8:] {
		epochs = append(epochs, binary.BigEndian.Uint64(b))
	}
	return epochs
}

// owing gives the epochs that are owed a hint as far as the mark of a queue goes.
func (s *state) owing(ctx context.Context, queue chain.Queue) ([]uint64, error) {
	ctx, cancel := s.client.Within(ctx)
	defer cancel()
	value, err := s.client.Get(ctx, s.key(queue, "t")).Result()
	if err != nil {
		return nil, err
	}
	return readOwed(value), nil
}
