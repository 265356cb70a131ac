package history

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/internal/chain"
)

// marked is what the table of marks says of a queue. The server answers an insert before it has
// synced, so mark holds only for the run of the server under which it was written. In the next run
// something behind safe may be missing.
type marked struct {
	mark, safe chain.Mark
	run        run
}

// run names a run of the server: the second of its clock in which it began.
type run int64

// jitter is by how many seconds two looks at the beginning of the same run may differ, because the
// time of day and the uptime do not tick at the same moment.
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

// Mark gives the mark up to which a queue is taken in for certain.
func (s *Store) Mark(ctx context.Context, queue chain.Queue) (chain.Mark, error) {
	r, err := s.running(ctx)
	if err != nil {
		return chain.Beginning, err
	}
	m, err := s.marked(ctx, queue)
	return m.under(r), err
}

// Marks gives the mark up to which a queue was taken in at most, the one up to which it is for
// certain, and the one up to which it would be if the server was started anew now.
func (s *Store) Marks(ctx context.Context, queue chain.Queue) (most, certain, safe chain.Mark, err error) {
	r, err := s.running(ctx)
	if err != nil {
		return chain.Beginning, chain.Beginning, chain.Beginning, err
	}
	m, err := s.marked(ctx, queue)
	return m.mark, m.under(r), m.safe, err
}

// SetMark says that a queue is taken in up to mark as long as the server runs, and up to safe for
// certain. Behind safe there may be rows that the server has not synced yet, those of GiveUp
// included.
func (s *Store) SetMark(ctx context.Context, queue chain.Queue, mark, safe chain.Mark) error {
	r, err := s.running(ctx)
	if err == nil {
		err = s.insertMarks(ctx, map[chain.Queue]marked{queue: {mark: mark, safe: safe, run: r}})
	}
	return err
}

// marked reads the newest marks of a queue.
func (s *Store) marked(ctx context.Context, queue chain.Queue) (marked, error) {
	all, err := s.allMarked(ctx, fmt.Sprintf("WHERE class = %d AND queue = %d", queue.Class, queue.Number))
	return markedOf(all, queue), err
}

// markedOf gives the marks of a queue, or those of one of which nothing was taken in.
func markedOf(all map[chain.Queue]marked, queue chain.Queue) marked {
	if m, ok := all[queue]; ok {
		return m
	}
	return marked{mark: chain.Beginning, safe: chain.Beginning}
}

// allMarked reads the newest marks of the queues that meet a condition. All that was written in one
// run is true, so the highest offset of the newest second counts. The number of the run does not
// decide: within one run it differs by the jitter.
func (s *Store) allMarked(ctx context.Context, where string) (map[chain.Queue]marked, error) {
	all := make(map[chain.Queue]marked)
	sql := "SELECT class, queue, position, writer, number, safe_position, safe_writer, safe_number, run FROM marks " + where +
		" ORDER BY class, queue, at DESC, position DESC LIMIT 1 BY class, queue"
	err := s.query(ctx, sql, func(rows driver.Rows) error {
		var class uint8
		var number uint16
		var m marked
		if err := rows.Scan(&class, &number, &m.mark.Offset, &m.mark.Writer, &m.mark.Number, &m.safe.Offset, &m.safe.Writer, &m.safe.Number, (*int64)(&m.run)); err != nil {
			return err
		}
		if m.mark.Offset < chain.Beginning.Offset || m.safe.Offset < chain.Beginning.Offset || m.safe.Offset > m.mark.Offset {
			s.refused("marks", "offsets that cannot be", m)
			return nil
		}
		all[chain.Queue{Class: chain.Class(class), Number: int(number)}] = m
		return nil
	})
	return all, err
}

// fedQueue is how far a queue is fed in a run of the server; the next run, or owner, is
// another fedQueue.
type fedQueue struct {
	taken    chain.Mark // the last record that was taken
	inserted chain.Mark // the last one that the server has
	run      run        // of the server that has it

	// safe is the mark that the server has had for so long that it is synced. recent has later
	// marks, with the moments at which the server had them.
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

// moments is how many marks are kept for one margin.
const moments = 16

// settle notes that the server has everything up to a mark.
func (q *fedQueue) settle(mark chain.Mark, now time.Time, margin time.Duration) {
	q.inserted = mark
	if len(q.recent) == 0 || now.Sub(q.recent[len(q.recent)-1].at) >= margin/moments {
		q.recent = append(q.recent, moment{mark, now})
	}
}

// certain gives the mark up to which the server has had everything for at least the margin.
func (q *fedQueue) certain(now time.Time, margin time.Duration) chain.Mark {
	for len(q.recent) > 0 && now.Sub(q.recent[0].at) >= margin {
		q.safe = q.recent[0].mark
		q.recent = q.recent[1:]
	}
	return q.safe
}
