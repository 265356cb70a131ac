package cluster

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"gannet/internal/chain"
)

// owed is the set of gateways, by epoch, that are owed a hint to sync everything. The hint
// replaces pushes of records that are done. The epochs are stored with the mark of each queue in
// Redis, so that the next follower gives the hint.
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

// list gives the epochs in either set, rising.
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

// adopt gives the hints that the earlier follower of the queue still owed. Hints not given when
// ctx ends stay owed.
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

// mostOwed bounds the epochs stored with a mark. It is more than the gateways of any cluster.
const mostOwed = 4096

// appendOwed encodes the epochs behind a mark: their number as u16, and each as u64.
func appendOwed(dst []byte, epochs []uint64) []byte {
	epochs = epochs[:min(len(epochs), mostOwed)]
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(epochs)))
	for _, e := range epochs {
		dst = binary.BigEndian.AppendUint64(dst, e)
	}
	return dst
}

// readOwed reads the epochs behind a mark. A mark of an earlier program has none.
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

// owing gives the epochs that are stored with the mark of a queue.
func (s *state) owing(ctx context.Context, queue chain.Queue) ([]uint64, error) {
	ctx, cancel := s.client.Within(ctx)
	defer cancel()
	value, err := s.client.Get(ctx, s.key(queue, "t")).Result()
	if err != nil {
		return nil, err
	}
	return readOwed(value), nil
}
