package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/logic/cluster/view"
)

// lagTime is how long a broker has that does not give a record yet, or does not say what it has.
const lagTime = 5 * time.Second

// presence is whether a queue has the record of a mark.
type presence int

const (
	there   presence = iota
	missing          // the broker lost it
	given            // it was lost, and was given up
)

// find says of each mark whether the queue has its record. It repeats the marks that are not
// certain, all together, for at most lagTime; then the last answer stands.
func (m *mending) find(ctx context.Context, queue chain.Queue, marks ...chain.Mark) (map[chain.Mark]presence, error) {
	found := map[chain.Mark]presence{chain.Beginning: there}
	m.progress.does(queue, "asks the broker for %d marks", len(marks))
	for deadline := time.Now().Add(lagTime); ; {
		late := time.Now().After(deadline)
		_, end, err := m.stream.Bounds(ctx, queue)
		if err != nil {
			return nil, err
		}
		waits := false
		for _, mark := range marks {
			if _, ok := found[mark]; ok {
				continue
			}
			p, certain, err := m.has(ctx, queue, mark, end)
			if err != nil {
				return nil, err
			}
			if certain || late {
				found[mark] = p
			} else {
				waits = true
			}
		}
		if !waits {
			return found, nil
		}
		m.progress.does(queue, "waits for the broker to give what it acknowledged")
		if operate.Pause(ctx, lagPause) != nil {
			return nil, ctx.Err()
		}
	}
}

// has says whether a queue, whose next offset is end, has the record of a mark. That the record is
// missing is certain only if another record lies in its place: a broker may lag.
func (m *mending) has(ctx context.Context, queue chain.Queue, mark chain.Mark, end int64) (p presence, certain bool, err error) {
	if mark.Offset >= end {
		return missing, false, nil
	}
	p = there
	err = chain.Back(ctx, m.stream, queue, mark, func(r *chain.Record) bool {
		if r.Kind == chain.Loss && r.Mark != mark {
			p = given
		}
		return false
	})
	switch {
	case errors.Is(err, chain.ErrLost):
		return missing, true, nil
	case errors.Is(err, chain.ErrLagging):
		return missing, false, nil
	}
	return p, err == nil, err
}

// look checks whether a queue lacks records that its view, transfer or ClickHouse has had. If so,
// it notes a loss. If not, it empties a view that is older than a loss that was given up.
func (m *mending) look(ctx context.Context, queue chain.Queue, w *view.Writer) (err error) {
	l := &loss{queue: queue, writer: w, transfer: m.transfer[queue.Class], pushed: chain.Beginning, most: chain.Beginning, certain: chain.Beginning, safe: chain.Beginning}
	if l.state, err = w.State(ctx); err != nil {
		return err
	}
	if l.pushed, _, err = l.transfer.Mark(ctx, queue.Number); err != nil {
		return err
	}
	if m.away == nil {
		if l.most, l.certain, l.safe, err = m.history.Marks(ctx, queue); err != nil {
			return err
		}
	}
	if l.found, err = m.find(ctx, queue, l.state.Mark, l.pushed, l.most, l.certain); err != nil {
		return err
	}
	lost := l.found[l.state.Mark] == missing || l.found[l.pushed] == missing || l.found[l.most] == missing
	if _, l.end, err = m.stream.Bounds(ctx, queue); err != nil {
		return err
	}
	// From a view that is older than what was given up nobody leads anywhere: it is emptied.
	torn, ours := false, l.found[l.state.Mark] == there
	if !lost && ours && l.pushed != chain.Beginning {
		if torn, err = m.torn(ctx, queue, l.pushed, l.state.Mark); err != nil {
			return err
		}
	}
	if !lost && ours && !torn && m.away == nil {
		if torn, err = m.torn(ctx, queue, l.certain, l.state.Mark); err != nil {
			return err
		}
	}
	if !lost && !torn {
		return m.behindLoss(ctx, l)
	}
	m.mu.Lock()
	m.losses = append(m.losses, l)
	m.mu.Unlock()
	m.say("%v: RocketMQ has lost what it had acknowledged: it has records before offset %d, and Redis has those up to %s, transfer up to %s, ClickHouse up to %s\n",
		queue, l.end, upTo(l.state.Mark), upTo(l.pushed), m.upToHistory(l.most))
	if torn {
		m.say("%v: other records lie in place of those that are lost: nobody who reads the queue comes past them\n", queue)
	}
	return nil
}

// upTo gives the offset of a mark as text.
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
