package embedded

import (
	"context"
	"fmt"
	"runtime/debug"

	"gannet/logic"
)

// survived counts and logs a panic that ends nothing but what it happened in.
func (s *Store) survived(where string, queue int, cause any) {
	s.panics.Add(1)
	if s.said.Now() {
		s.log.Error("embedded: a panic was survived", "where", where, "queue", queue, "panic", cause, "stack", string(debug.Stack()))
	}
}

// record makes the record of what was written. A panic there leaves it empty, as one of
// hand's does.
func (s *Store) record(q *queue, batches []*logic.Batch, stamp uint64) {
	defer func() {
		if cause := recover(); cause != nil {
			q.record.Entries = q.record.Entries[:0]
			s.survived("making a record", q.index, cause)
		}
	}()
	q.record.Mark = stamp
	q.ledger.Record(batches, &q.record)
}

// hand hands the record of a queue onward. A panic there takes the pushes of this
// record, which its receivers find by SYNC, and not the answers of its senders: it is
// durable.
func (s *Store) hand(ctx context.Context, q *queue) {
	defer func() {
		if cause := recover(); cause != nil {
			s.survived("publishing", q.index, cause)
		}
	}()
	s.publish(ctx, &q.record)
}

// unsettled is deferred where a record is written: after a panic nobody knows which of
// the queue's memory is true, and only a new Open reads it anew.
func (s *Store) unsettled(q *queue, err *error) {
	if cause := recover(); cause != nil {
		s.survived("writing", q.index, cause)
		*err = s.fail(fmt.Errorf("a bug in writing: %v", cause))
	}
}
