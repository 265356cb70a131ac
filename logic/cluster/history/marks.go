package history

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Queue names a queue of the cluster.
type Queue struct {
	Class  uint8 // chat, system, as the records of the queue say it
	Number int
}

func (q Queue) String() string { return fmt.Sprintf("queue %d of class %d", q.Number, q.Class) }

// Mark names a record of a queue: its offset, and its writer with the writer's number of
// it, since what a power cut took from a queue leaves its offset to another record.
type Mark struct {
	Offset         int64
	Writer, Number uint64
}

// Beginning is the mark of a queue of which nothing is taken in.
var Beginning = Mark{Offset: -1}

// marked is a mark with the second of the server's clock in which it came.
type marked struct {
	Mark
	at uint32
}

// started gives the second of the server's clock in which the server began to run.
func (s *Store) started(ctx context.Context) (at int64, err error) {
	err = s.query(ctx, "SELECT toInt64(toUnixTimestamp(now())) - toInt64(uptime())", func(rows driver.Rows) error { return rows.Scan(&at) })
	return at, err
}

// Marks gives how far each queue is taken in.
func (s *Store) Marks(ctx context.Context) (map[Queue]Mark, error) {
	found := make(map[Queue]Mark)
	err := s.marks(ctx, "1", func(q Queue, m marked) bool {
		if _, ok := found[q]; !ok {
			found[q] = m.Mark
		}
		return true
	})
	return found, err
}

// marks gives the marks of queues, of each queue the newest first. Of those of one second
// the one with the lower offset comes first: it is safe to believe in.
func (s *Store) marks(ctx context.Context, where string, each func(Queue, marked) bool) error {
	return s.query(ctx, "SELECT class, queue, position, writer, number, toUInt32(toUnixTimestamp(at)) AS second FROM marks WHERE "+
		where+" ORDER BY class, queue, second DESC, position", func(rows driver.Rows) error {
		var class uint8
		var number uint16
		var m marked
		if err := rows.Scan(&class, &number, &m.Offset, &m.Writer, &m.Number, &m.at); err != nil {
			return err
		}
		if m.Offset < Beginning.Offset {
			s.refused("marks", "an offset below the beginning", m)
			return nil
		}
		each(Queue{Class: class, Number: int(number)}, m)
		return nil
	})
}

// resume gives the mark behind which the records of a queue are to be fed. It is the
// newest one, unless the server was started after that: then what it had not synced may
// be gone, and it is the newest that is older by the margin.
func (s *Store) resume(ctx context.Context, q Queue, started int64, margin time.Duration) (Mark, error) {
	found, decided := Beginning, false
	newest := int64(-1)
	err := s.marks(ctx, fmt.Sprintf("class = %d AND queue = %d", q.Class, q.Number), func(_ Queue, m marked) bool {
		at := int64(m.at)
		if newest < 0 {
			newest = at
		}
		if !decided && (newest > started || at <= newest-int64(margin/time.Second)) {
			found, decided = m.Mark, true
		}
		return true
	})
	return found, err
}
