package history

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/internal/chain"
)

// marked is what the table of marks says of a queue. The server answers an insert before it
// has synced, so a mark holds for the run of the server that it was written under; of what
// comes behind safe, the next run may lack something.
type marked struct {
	mark, safe chain.Mark
	run        run
}

// run names a run of the server: the second of its clock in which it began.
type run int64

// jitter is by how much two looks at the beginning of one run differ: the two clocks of
// that difference do not tick together.
const jitter = 2

func (r run) same(other run) bool { return r-other <= jitter && other-r <= jitter }

// under gives the mark up to which the server has everything for certain in a run.
func (m *marked) under(r run) chain.Mark {
	if m.run.same(r) {
		return m.mark
	}
	return m.safe
}

// running gives the run of the server.
func (s *Store) running(ctx context.Context) (r run, err error) {
	err = s.query(ctx, "SELECT toInt64(toUnixTimestamp(now())) - toInt64(uptime())", func(rows driver.Rows) error { return rows.Scan((*int64)(&r)) })
	return r, err
}

// Mark gives up to where a queue is taken in for certain.
func (s *Store) Mark(ctx context.Context, queue chain.Queue) (chain.Mark, error) {
	r, err := s.running(ctx)
	if err != nil {
		return chain.Beginning, err
	}
	m, err := s.marked(ctx, queue)
	return m.under(r), err
}

// Marks gives up to where a queue was taken in at most, and up to where it is for certain.
func (s *Store) Marks(ctx context.Context, queue chain.Queue) (most, certain chain.Mark, err error) {
	r, err := s.running(ctx)
	if err != nil {
		return chain.Beginning, chain.Beginning, err
	}
	m, err := s.marked(ctx, queue)
	return m.mark, m.under(r), err
}

// SetMark says that a queue is taken in up to a mark, for certain.
func (s *Store) SetMark(ctx context.Context, queue chain.Queue, mark chain.Mark) error {
	r, err := s.running(ctx)
	if err == nil {
		err = s.insertMarks(ctx, map[chain.Queue]marked{queue: {mark: mark, safe: mark, run: r}})
	}
	return err
}

// marked reads what is known of a queue. What is said of one run is all
// true, so the highest offset of the newest second counts.
func (s *Store) marked(ctx context.Context, queue chain.Queue) (m marked, err error) {
	m.mark, m.safe = chain.Beginning, chain.Beginning
	sql := fmt.Sprintf("SELECT position, writer, number, safe_position, safe_writer, safe_number, run FROM marks WHERE class = %d AND queue = %d ORDER BY at DESC, run DESC, position DESC LIMIT 1",
		queue.Class, queue.Number)
	err = s.query(ctx, sql, func(rows driver.Rows) error {
		var x marked
		if err := rows.Scan(&x.mark.Offset, &x.mark.Writer, &x.mark.Number, &x.safe.Offset, &x.safe.Writer, &x.safe.Number, (*int64)(&x.run)); err != nil {
			return err
		}
		if x.mark.Offset < chain.Beginning.Offset || x.safe.Offset < chain.Beginning.Offset || x.safe.Offset > x.mark.Offset {
			s.refused("marks", "offsets that cannot be", x)
			return nil
		}
		m = x
		return nil
	})
	return m, err
}

// fedQueue is how far a queue is fed in a run of the server; the next run, or owner, is
// another fedQueue.
type fedQueue struct {
	taken    chain.Mark // the last record that was taken
	inserted chain.Mark // the last one that the server has
	run      run        // of the server that has it

	// safe is what the server has for so long that it is synced, and recent what it had at
	// some moments since.
	safe   chain.Mark
	recent []moment
}

type moment struct {
	mark chain.Mark
	at   time.Time
}

// fedUnder gives how far a queue is fed when a run of the server is first seen.
func fedUnder(r run, m *marked, now time.Time) *fedQueue {
	at := m.under(r)
	return &fedQueue{taken: at, inserted: at, run: r, safe: m.safe, recent: []moment{{at, now}}}
}

// moments is of how many moments within the margin it is known what the server had.
const moments = 16

// settle notes that the server has everything up to a mark.
func (q *fedQueue) settle(mark chain.Mark, now time.Time, margin time.Duration) {
	q.inserted = mark
	if len(q.recent) == 0 || now.Sub(q.recent[len(q.recent)-1].at) >= margin/moments {
		q.recent = append(q.recent, moment{mark, now})
	}
}

// certain gives the mark up to which the server has everything for as long as the margin.
func (q *fedQueue) certain(now time.Time, margin time.Duration) chain.Mark {
	for len(q.recent) > 0 && now.Sub(q.recent[0].at) >= margin {
		q.safe = q.recent[0].mark
		q.recent = q.recent[1:]
	}
	return q.safe
}
