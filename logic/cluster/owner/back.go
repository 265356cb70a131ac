package owner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/protocol"
)

const (
	// backPull is how many records one pull brings when the queue is read backwards.
	backPull = 32

	// backRecords is how many records are read back at a take-over at most.
	backRecords = 1024
)

// readBack fills the tail with the messages of the newest records up to the mark. So messages that
// are sent again are known, and readers find what the history does not have yet. It ends at records
// that were given up, because those name no earlier record: messages before them may be missing.
func (t *term) readBack(ctx context.Context, mark chain.Mark) error {
	o := &t.queue.owner.options
	first, _, err := o.Stream.Bounds(ctx, t.queue.name)
	if err != nil {
		return err
	}
	var records []*hop.Record // newest first
	bytes, looked := 0, 0
	for mark != chain.Beginning && mark.Offset >= first && bytes < t.tail.room && looked < backRecords {
		from := max(mark.Offset-backPull+1, first)
		bodies, err := t.pull(ctx, from, mark.Offset+1)
		if err != nil {
			return err
		}
		for mark != chain.Beginning && mark.Offset >= from {
			looked++
			var c chain.Record
			if c.Body, err = c.Head.Decode(bodies[mark.Offset-from]); err != nil || c.Writer != mark.Writer || c.Number != mark.Number {
				return fmt.Errorf("%w: the mark %v of %v is not there", chain.ErrLost, mark, t.queue.name)
			}
			c.Mark = mark
			if r := new(hop.Record); c.Kind == chain.Entries && c.Hop(r) == nil {
				records = append(records, r)
				bytes += len(c.Body)
			}
			mark = c.Prev
		}
	}
	slices.Reverse(records)
	t.tail.fill(records)
	return nil
}

// pull gives the records from offset from on, before offset end. The queue must have them.
func (t *term) pull(ctx context.Context, from, end int64) (bodies [][]byte, err error) {
	for next := from; next < end; {
		stored, err := t.queue.owner.options.Stream.Pull(ctx, t.queue.name, next, int(end-next))
		if errors.Is(err, chain.ErrLagging) && operate.Pause(ctx, 5*time.Millisecond) == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, s := range stored {
			if s.Offset != next {
				return nil, fmt.Errorf("%w: %v has offset %d where %d should be", chain.ErrLost, t.queue.name, s.Offset, next)
			}
			bodies, next = append(bodies, s.Body), next+1
		}
	}
	return bodies, nil
}

// fill takes in the messages of records that were read back, which follow one another.
func (t *tail) fill(records []*hop.Record) {
	type sender struct {
		key          protocol.Conversation
		user, device uint64
	}
	last := make(map[sender]uint64)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		for i := range r.Entries {
			e := &r.Entries[i]
			frame := r.Bytes(i)
			if e.Op != hop.OpMessage || len(frame) < protocol.HeaderSize {
				continue
			}
			s := sender{e.Conversation, e.User, e.Device}
			previous, linked := last[s]
			last[s] = e.Seq
			t.put(e.Conversation, e.Seq-1, Kept{
				Seq: e.Seq, Previous: previous, Linked: linked, N: e.N, Own: e.Own, Payload: frame[protocol.HeaderSize:],
			})
		}
		t.shrink()
	}
}
