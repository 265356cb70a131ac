package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gannet/internal/chain"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// Rebuild says which conversations are wanted.
type Rebuild struct {
	Queue  chain.Queue
	Queues int             // of the class
	Kinds  []protocol.Kind // of the class
	Batch  int             // conversations at once, 0: 1,000
}

// rebuildSteps is in how many steps the conversations of a queue are read: the server sorts
// those of one at a time.
const rebuildSteps = 16

// Progress is how far a rebuilding has come.
type Progress struct {
	Mark          chain.Mark // everything up to it is in what is given; some is newer
	Steps, Whole  int        // that are done, of how many
	Conversations int        // that were given
}

// Whole is a conversation, or an Err, with its members and devices, and its newest message, an encoded
// protocol.Message. Last is empty where that message came after Progress.Mark and is not
// inserted yet.
type Whole struct {
	*ledger.Loaded
	Last []byte
}

// Rebuild gives all conversations of a queue to take, a batch at a time: what a view that
// was emptied is made from. What came after Progress.Mark has to be taken in from the queue
// afterwards. One rebuilding is under way at a time.
func (s *Store) Rebuild(ctx context.Context, which Rebuild, take func([]Whole, Progress) error) error {
	select {
	case s.rebuild <- struct{}{}:
		defer func() { <-s.rebuild }()
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	if len(which.Kinds) == 0 || which.Queue.Number >= min(which.Queues, protocol.Partitions) {
		return fmt.Errorf("history: %+v cannot be rebuilt", which)
	}
	mark, err := s.Mark(ctx, which.Queue)
	if err != nil {
		return err
	}
	p := Progress{Mark: mark}
	kinds := strconv.Itoa(int(which.Kinds[0]))
	for _, k := range which.Kinds[1:] {
		kinds += ", " + strconv.Itoa(int(k))
	}
	limit := cmp.Or(which.Batch, 1000)
	var batch []Whole
	give := func() error {
		if err := s.last(ctx, batch); err != nil {
			return err
		}
		p.Conversations += len(batch)
		err := take(batch, p)
		batch = nil
		return err
	}
	var partitions []string
	for part := which.Queue.Number; part < protocol.Partitions; part += which.Queues {
		partitions = append(partitions, strconv.Itoa(part))
	}
	steps := slices.Collect(slices.Chunk(partitions, (len(partitions)+rebuildSteps-1)/rebuildSteps))
	p.Whole = len(steps)
	for _, step := range steps {
		err := s.states(ctx, fmt.Sprintf("part IN (%s) AND kind IN (%s)", strings.Join(step, ", "), kinds), func(l *ledger.Loaded) error {
			if batch = append(batch, Whole{Loaded: l}); len(batch) < limit {
				return nil
			}
			return give()
		})
		if err != nil {
			return err
		}
		p.Steps++
		if len(batch) > 0 || p.Steps == p.Whole {
			if err := give(); err != nil {
				return err
			}
		}
	}
	return nil
}

// last fills in the newest messages of conversations.
func (s *Store) last(ctx context.Context, list []Whole) error {
	var windows []window
	for _, l := range list {
		if l.Err == nil {
			windows = append(windows, window{l.Key, l.Head, l.Head})
		}
	}
	rows, err := s.windows(ctx, windows)
	if err != nil {
		return err
	}
	var large []*row
	var missing []window
	for _, w := range windows {
		if found := rows[w.conversation]; len(found) == 0 {
			missing = append(missing, w)
		} else if !found[0].whole {
			large = append(large, &found[0])
		}
	}
	if err := s.bodies(ctx, large); err != nil {
		return err
	}
	removed, err := s.lastRemoved(ctx, missing)
	if err != nil {
		return err
	}
	for i := range list {
		found := rows[list[i].Key]
		if len(found) == 0 {
			found = removed[list[i].Key]
		}
		if len(found) > 0 && found[0].whole {
			list[i].Last = found[0].message.AppendPayload(nil)
		}
	}
	return nil
}
