package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
	transfercluster "gannet/transfer/cluster"
)

const (
	// lossRoom is how far above the highest mark that anybody has a loss ends: somebody may
	// have come a little further than what was kept of it.
	lossRoom = 100

	// mostLost is how many records a loss has at most. A mark that is further above what the
	// broker has is damaged.
	mostLost = 50_000_000

	// lagTime is for how long a broker may say that it has not come to a record that it has.
	lagTime = 5 * time.Second

	// fenceTime is for how long those who write a queue may go on before they see that its view
	// is not theirs any more: they look once a second.
	fenceTime = 3 * time.Second

	fenceTries = 100

	// lossBatch is how many conversations go to ClickHouse together.
	lossBatch = 5000
)

// errGivenUp says that records are lost and were not given up.
var errGivenUp = errors.New("RocketMQ does not have what it acknowledged; restore its disk, or go on without those records by `gannet mend --accept-loss`")

// loss is a queue whose broker lost records that it had acknowledged.
type loss struct {
	queue    chain.Queue
	writer   *view.Writer
	transfer *transfercluster.Queue
	state    view.State
	end      int64
	pushed   chain.Mark // that of transfer
	most     chain.Mark // what ClickHouse has at most
	certain  chain.Mark // and for certain
	given    *chain.GivenUp

	conversations, messages int
}

// presence is whether a queue has the record of a mark.
type presence int

const (
	there   presence = iota
	missing          // the broker lost it
	given            // it was lost, and was given up
)

// find looks for the record of a mark, and gives the Loss at its place.
func (m *mending) find(ctx context.Context, queue chain.Queue, mark chain.Mark) (p presence, at chain.Record, err error) {
	if mark == chain.Beginning {
		return there, at, nil
	}
	for deadline := time.Now().Add(lagTime); ; {
		_, end, err := m.stream.Bounds(ctx, queue)
		if err != nil {
			return there, at, err
		}
		if mark.Offset < end {
			err = chain.Back(ctx, m.stream, queue, mark, func(r *chain.Record) bool { at = *r; return false })
			switch {
			case errors.Is(err, chain.ErrLost):
				return missing, at, nil
			case err == nil && at.Kind == chain.Loss && at.Mark != mark:
				return given, at, nil
			case err == nil:
				return there, at, nil
			case !errors.Is(err, chain.ErrLagging):
				return there, at, err
			}
		}
		if time.Now().After(deadline) {
			return missing, at, nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			return there, at, ctx.Err()
		}
	}
}

// look sees whether a queue lacks what its view, transfer or ClickHouse has had, and notes it.
// A view that is older than what was given up is emptied.
func (m *mending) look(ctx context.Context, queue chain.Queue, w *view.Writer) (err error) {
	l := &loss{queue: queue, writer: w, transfer: m.transfer, pushed: chain.Beginning, most: chain.Beginning, certain: chain.Beginning}
	if l.state, err = w.State(ctx); err != nil {
		return err
	}
	if l.pushed, _, err = m.transfer.Mark(ctx, queue.Number); err != nil {
		return err
	}
	if m.away == nil {
		if l.most, l.certain, err = m.history.Marks(ctx, queue); err != nil {
			return err
		}
	}
	lost := false
	for _, mark := range []chain.Mark{l.state.Mark, l.pushed, l.most} {
		p, _, err := m.find(ctx, queue, mark)
		if err != nil {
			return err
		}
		lost = lost || p == missing
	}
	if _, l.end, err = m.stream.Bounds(ctx, queue); err != nil {
		return err
	}
	if !lost {
		return m.behindLoss(ctx, l)
	}
	m.losses = append(m.losses, l)
	fmt.Fprintf(m.out, "%v: RocketMQ has lost what it had acknowledged: it has records before offset %d, and Redis has those up to %s, transfer up to %s, ClickHouse up to %s\n",
		queue, l.end, upTo(l.state.Mark), upTo(l.pushed), m.upToHistory(l.most))
	return nil
}

// upTo says a mark.
func upTo(mark chain.Mark) string {
	if mark == chain.Beginning {
		return "none"
	}
	return fmt.Sprint(mark.Offset)
}

func (m *mending) upToHistory(mark chain.Mark) string {
	if m.away != nil {
		return "an offset that nobody knows, for it does not answer"
	}
	return upTo(mark)
}

// behindLoss empties a view that lacks records that were given up: nobody can bring it forward.
func (m *mending) behindLoss(ctx context.Context, l *loss) error {
	if l.state.Mark == chain.Beginning {
		return nil
	}
	through := int64(0)
	reader := chain.NewReader(m.stream, l.queue, l.state.Mark)
	err := reader.ReadTo(ctx, l.end, func(r *chain.Record) error {
		through = max(through, r.Through)
		return nil
	})
	if err != nil || through == 0 {
		return err
	}
	keys, err := l.writer.Empty(ctx, through)
	if keys > 0 {
		m.mended++
		fmt.Fprintf(m.out, "%v: its view was older than records that were given up, up to offset %d; %d keys were removed, and it is filled again\n", l.queue, through, keys)
	}
	return err
}

// giveUp gives up what queues have lost, or says that they have.
func (m *mending) giveUp(ctx context.Context) error {
	if len(m.losses) == 0 {
		return nil
	}
	if !m.accept {
		return errGivenUp
	}
	var errs error
	var fenced []*loss
	for _, l := range m.losses {
		if err := m.fenceSoon(ctx, l); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%v: %w", l.queue, err))
			continue
		}
		fenced = append(fenced, l)
	}
	if len(fenced) == 0 || !pause(ctx, fenceTime) {
		return errors.Join(errs, ctx.Err())
	}
	queues, conversations, messages := 0, 0, 0
	for _, l := range fenced {
		if err := m.goOn(ctx, l); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%v: %w (it may be run again)", l.queue, err))
			continue
		}
		m.mended++
		queues++
		conversations, messages = conversations+l.conversations, messages+l.messages
	}
	fmt.Fprintf(m.out, "%d of %d queues go on; %d messages of %d conversations are lost for good\n", queues, len(m.losses), messages, conversations)
	return errs
}

// fence sets the view of a queue to a mark that the broker does not have yet. From then on
// nobody who writes the queue can answer anything, nor take it over.
func (m *mending) fence(ctx context.Context, l *loss) error {
	highest := max(l.state.Mark.Offset, l.most.Offset)
	switch {
	case l.pushed.Offset > highest:
		return fmt.Errorf("transfer has had the queue up to offset %d, and neither Redis nor ClickHouse has it further than %d: places that were given to messages would be given again; give Redis a backup that is newer", l.pushed.Offset, highest)
	case !l.state.Mark.Given() && l.most.Offset > l.state.Mark.Offset:
		return fmt.Errorf("ClickHouse has the queue up to offset %d, and Redis up to %s: it came back older too, and what was acknowledged after ClickHouse was fed for the last time nobody knows, so places that were given to messages would be given again; give Redis, or the broker, a backup that is newer", l.most.Offset, upTo(l.state.Mark))
	case l.state.Incomplete:
		return errors.New("what Redis has of the queue is not whole: places that were given to messages would be given again; give Redis a backup in which it is whole")
	case highest-l.end > mostLost:
		return fmt.Errorf("its marks name offset %d, which is %d above what the broker has: they must be damaged", highest, highest-l.end)
	}
	return m.set(ctx, l, max(highest, l.end)+lossRoom)
}

// fenceSoon is fence, once more where somebody has brought the view forward meanwhile, as they
// do where it is older than what is lost.
func (m *mending) fenceSoon(ctx context.Context, l *loss) (err error) {
	for range fenceTries {
		if l.state, err = l.writer.State(ctx); err != nil {
			return err
		}
		if err = m.fence(ctx, l); !errors.As(err, new(*view.Conflict)) {
			return err
		}
	}
	return err
}

// set sets the view to the end of a loss.
func (m *mending) set(ctx context.Context, l *loss, through int64) error {
	g := chain.NewGivenUp(l.queue, m.registry.View().Version, time.Now(), through)
	l.writer.Believe(g.Mark(), l.state.Stamp)
	if err := l.writer.Adopt(ctx, l.state.Mark, false); err != nil {
		return fmt.Errorf("its view was changed meanwhile, run this once more: %w", err)
	}
	l.state.Mark, l.given = g.Mark(), g
	return nil
}

// goOn gives up what a queue that is fenced has lost. By the time of the first record that
// says so ClickHouse has the head of every conversation.
func (m *mending) goOn(ctx context.Context, l *loss) error {
	if err := m.keepHeads(ctx, l); err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		said := time.Now()
		err := l.given.Write(ctx, m.stream, func(offset int64) {
			if time.Since(said) >= time.Second {
				said = time.Now()
				fmt.Fprintf(m.out, "%v: offset %d of %d\n", l.queue, offset, l.given.Through)
			}
		})
		if err == nil {
			break
		}
		if !errors.Is(err, chain.ErrBeside) || tries == 5 {
			return err
		}
		if err := m.set(ctx, l, l.given.Through+lossRoom); err != nil {
			return err
		}
	}
	fmt.Fprintf(m.out, "%v: goes on from offset %d\n", l.queue, l.given.Through)
	return m.passBeside(ctx, l)
}

// passBeside moves marks at whose place neither their record lies nor one of the loss, but one
// of somebody else.
func (m *mending) passBeside(ctx context.Context, l *loss) error {
	p, _, err := m.find(ctx, l.queue, l.pushed)
	if err == nil && p == missing {
		err = l.transfer.Forget(ctx, l.queue.Number)
	}
	if err != nil {
		return err
	}
	if p, _, err = m.find(ctx, l.queue, l.certain); err == nil && p == missing {
		err = m.history.SetMark(ctx, l.queue, l.given.Mark())
	}
	return err
}

// keepHeads has ClickHouse take in all conversations as their view has them, and counts what is
// lost of them.
func (m *mending) keepHeads(ctx context.Context, l *loss) error {
	waits, err := m.waiting(ctx, l)
	if err != nil {
		return err
	}
	var batch []*ledger.Loaded
	give := func() error {
		var keys []protocol.Conversation
		for _, c := range batch {
			keys = append(keys, c.Key)
		}
		newest, err := m.history.Newest(ctx, keys)
		if err != nil {
			return err
		}
		for _, c := range batch {
			if has := max(newest[c.Key], waits[c.Key]); c.Head > has {
				l.conversations++
				l.messages += int(c.Head - has)
			}
		}
		err = m.history.GiveUp(ctx, l.queue, l.given.Through, batch)
		batch = batch[:0]
		return err
	}
	err = l.writer.All(ctx, func(list []*ledger.Loaded) error {
		var unknown []protocol.Conversation
		for _, c := range list {
			if c.Err != nil && c.Head == 0 {
				unknown = append(unknown, c.Key)
			} else if c.Head > 0 { // what else of it is damaged, its head is known
				if c.Err != nil {
					c.Err, c.Members, c.Devices = nil, nil, nil
				}
				batch = append(batch, c)
			}
		}
		if len(unknown) > 0 { // nobody may make them anew from less than there was
			fmt.Fprintf(m.out, "%v: %d conversations are damaged in Redis, one of them %v, and stay unavailable\n", l.queue, len(unknown), unknown[0])
			if err := l.writer.Forsake(ctx, unknown); err != nil {
				return err
			}
		}
		if len(batch) < lossBatch {
			return nil
		}
		return give()
	})
	if err == nil && len(batch) > 0 {
		err = give()
	}
	return err
}

// waiting gives the newest message of each conversation in the records that the queue has and
// ClickHouse may not have yet.
func (m *mending) waiting(ctx context.Context, l *loss) (map[protocol.Conversation]uint64, error) {
	seqs := map[protocol.Conversation]uint64{}
	if p, _, err := m.find(ctx, l.queue, l.certain); err != nil || p != there {
		return seqs, err
	}
	var record hop.Record
	reader := chain.NewReader(m.stream, l.queue, l.certain)
	err := reader.ReadTo(ctx, l.end, func(r *chain.Record) error {
		if r.Hop(&record) != nil {
			return nil
		}
		for _, e := range record.Entries {
			if e.Op == hop.OpMessage {
				seqs[e.Conversation] = max(seqs[e.Conversation], e.Seq)
			}
		}
		return nil
	})
	if errors.Is(err, chain.ErrRetention) {
		err = nil
	}
	return seqs, err
}
