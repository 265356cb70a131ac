package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/operate"
	"gannet/logic/cluster/view"
	"gannet/logic/ledger"
	"gannet/protocol"
	transfercluster "gannet/transfer/cluster"
)

const (
	// lossRoom is how far a loss ends above the highest known mark. A process may have come a
	// little further than the mark that was stored for it.
	lossRoom = 100

	// mostLost is how many records a loss has at most. A mark that is further above what the
	// broker has is damaged.
	mostLost = 50_000_000

	// fenceTime is how long giveUp waits after it has fenced the queues. By then their owners have
	// seen that the view is not theirs any more: they look once a second.
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
	pushed   chain.Mark // transfer's mark
	most     chain.Mark // the newest record that ClickHouse may have
	certain  chain.Mark // the newest record that ClickHouse has for certain
	safe     chain.Mark // the newest record that ClickHouse would have if it was restarted now
	given    *chain.GivenUp

	found map[chain.Mark]presence // the answers of find

	conversations, messages int
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
		m.mends("%v: its view was older than records that were given up, up to offset %d; %d keys were removed, and it is filled again\n", l.queue, through, keys)
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
	fenced := map[chain.Queue]*loss{}
	var queues []chain.Queue
	for _, l := range m.losses {
		if err := m.fenceSoon(ctx, l); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%v: %w", l.queue, err))
			continue
		}
		fenced[l.queue], queues = l, append(queues, l.queue)
	}
	if len(fenced) == 0 || operate.Pause(ctx, fenceTime) != nil {
		return errors.Join(errs, ctx.Err())
	}
	goes, conversations, messages := 0, 0, 0
	errs = errors.Join(errs, m.each("giving up", queues, givesAtOnce, func(queue chain.Queue) error {
		l := fenced[queue]
		if err := m.goOn(ctx, l); err != nil {
			return fmt.Errorf("%w (it may be run again)", err)
		}
		m.mends("%v: goes on from offset %d\n", l.queue, l.given.Through)
		m.mu.Lock()
		defer m.mu.Unlock()
		goes, conversations, messages = goes+1, conversations+l.conversations, messages+l.messages
		return nil
	}))
	m.say("%d of %d queues go on; %d messages of %d conversations are lost for good\n", goes, len(m.losses), messages, conversations)
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

// fenceSoon calls fence, and again if an owner has changed the view meanwhile. An owner does so
// while the view is older than the lost records.
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

// goOn gives up what a fenced queue has lost. ClickHouse gets the head of every conversation before
// the first Loss is written.
func (m *mending) goOn(ctx context.Context, l *loss) error {
	if err := m.keepHeads(ctx, l); err != nil {
		return err
	}
	m.progress.does(l.queue, "begins to write what is given up, up to offset %d", l.given.Through)
	var said time.Time
	for tries := 0; ; tries++ {
		err := l.given.Write(ctx, m.stream, func(offset int64) {
			if now := time.Now(); now.Sub(said) >= time.Second {
				said = now
				m.progress.does(l.queue, "is at offset %d of %d", offset, l.given.Through)
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
	return m.passBeside(ctx, l)
}

// passBeside moves the marks of transfer and ClickHouse from which no reader comes to the end of
// the loss, because another record lies at the mark or on the way to the loss. Transfer's mark is
// removed. ClickHouse is fed from the end of the loss on. If ClickHouse restarts before it has
// synced what it took, such as the heads from keepHeads, it is fed from safe again. That goes
// across the loss, which brings the heads once more.
func (m *mending) passBeside(ctx context.Context, l *loss) error {
	beside, err := m.beside(ctx, l, l.pushed, l.certain, l.safe)
	if err != nil {
		return err
	}
	if beside[l.pushed] && l.pushed != chain.Beginning {
		if err := l.transfer.Forget(ctx, l.queue.Number); err != nil {
			return err
		}
	}
	mark, safe := l.certain, l.safe
	if beside[mark] {
		mark = l.given.Mark()
	}
	if beside[safe] { // everything that the queue has
		safe = chain.Beginning
	}
	if mark == l.certain && safe == l.safe {
		return nil
	}
	return m.history.SetMark(ctx, l.queue, mark, safe)
}

// keepHeads has ClickHouse take in all conversations as their view has them, and counts what is
// lost of them.
func (m *mending) keepHeads(ctx context.Context, l *loss) error {
	waits, err := m.waiting(ctx, l)
	if err != nil {
		return err
	}
	var batch []*ledger.Loaded
	given := 0
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
		given += len(batch)
		m.progress.does(l.queue, "gives ClickHouse conversations: %d by now", given)
		batch = batch[:0]
		return err
	}
	err = l.writer.All(ctx, func(list []*ledger.Loaded) error {
		var unknown []protocol.Conversation
		for _, c := range list {
			if c.Err != nil && c.Head == 0 {
				unknown = append(unknown, c.Key)
			} else if c.Head > 0 { // its head is known even if other parts of it are damaged
				if c.Err != nil {
					c.Err, c.Members, c.Devices = nil, nil, nil
				}
				batch = append(batch, c)
			}
		}
		if len(unknown) > 0 { // nobody may make them anew with a lower head than they had
			m.say("%v: %d conversations are damaged in Redis, one of them %v, and stay unavailable\n", l.queue, len(unknown), unknown[0])
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
	if l.found[l.certain] != there {
		return seqs, nil
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
	if errors.Is(err, chain.ErrRetention) || errors.Is(err, chain.ErrLost) || errors.Is(err, chain.ErrTorn) {
		err = nil // what lies behind does not come to ClickHouse
	}
	return seqs, err
}
