package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// queue is an ordered log of records: its conversations in memory, and the calls
// that wait for it.
type queue struct {
	index  int
	line   ledger.Line
	ledger *ledger.Ledger

	// Of the caller whose turn it is in the line.
	made    uint64 // commits
	highest uint64 // seq that the batch under way gives out
	record  hop.Record
	order   []placed
	run     runWriter
}

// placed is a conversation of a change and where it lies in the store.
type placed struct {
	place   place
	changed *ledger.Changed
}

// Apply implements logic.Log.
func (s *Store) Apply(ctx context.Context, batches []*logic.Batch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.exit()
	if len(batches) == 1 {
		s.apply(ctx, batches[0])
		return nil
	}
	var wg sync.WaitGroup
	for _, b := range batches {
		wg.Go(func() { s.apply(ctx, b) })
	}
	wg.Wait()
	return nil
}

func (s *Store) apply(ctx context.Context, b *logic.Batch) {
	if b.Queue < 0 || b.Queue >= len(s.queues) {
		failBatch(b, unavailable(fmt.Errorf("there is no queue %d", b.Queue)))
		return
	}
	q := s.queues[b.Queue]
	// The one who writes does so for others as well, who go on if its call ends.
	if err := q.line.Do(ctx, b, func(batches []*logic.Batch) { _ = s.write(context.WithoutCancel(ctx), q, batches, false) }); err != nil {
		failBatch(b, unavailable(err))
	}
}

func failBatch(b *logic.Batch, err error) {
	b.Err = err
	for i := range b.Entries {
		b.Entries[i].Outcome = logic.Unknown
	}
}

// write makes the next record of a queue: all batches that waited, worked out,
// durable, shown to readers and published. A failure is that of all of them.
func (s *Store) write(ctx context.Context, q *queue, batches []*logic.Batch, acks bool) error {
	err := s.work(ctx, q, batches, acks)
	if err != nil {
		for _, b := range batches {
			failBatch(b, err)
		}
	}
	return err
}

func (s *Store) work(ctx context.Context, q *queue, batches []*logic.Batch, acks bool) (err error) {
	defer s.unsettled(q, &err)
	if err := s.Err(); err != nil {
		return err
	}
	batches, parts := s.take(batches)
	defer giveBack(parts)
	stamp := s.stamps.draw(q.index)
	w, err := s.workOut(ctx, q, ledger.Input{Batches: batches, Stamp: stamp, Now: uint64(s.now().UnixMilli()), Acks: acks})
	if err != nil {
		s.stamps.finished(q.index, false)
		return unavailable(err)
	}
	wrote := w != nil
	if wrote { // else nothing is new; what was repeated is durable, as its batch had returned
		if err := s.commit(q, w, stamp); err != nil {
			return err // the stamp stays under way: the next Open may find what was written
		}
	}
	s.record(q, batches, stamp)
	q.ledger.Settle()
	s.stamps.finished(q.index, wrote)
	if s.publish != nil && slices.ContainsFunc(q.record.Entries, func(e hop.RecordEntry) bool { return e.Frame.Len() > 0 }) {
		s.hand(ctx, q)
	}
	q.record.Blob = nil
	return nil
}

// workOut is the ledger's part, and gives what is to be written, nil for nothing. A
// panic there is a bug of which nothing was written: the batch never happened.
func (s *Store) workOut(ctx context.Context, q *queue, in ledger.Input) (w *pebble.Batch, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			q.ledger.Abandon()
			s.survived("working a batch out", q.index, cause)
			w, err = nil, errors.New("a batch could not be worked out")
		}
	}()
	change, err := q.ledger.Apply(ctx, in)
	if err != nil || change.Empty() {
		return nil, err
	}
	q.highest = change.Highest()
	w = s.db.NewBatch()
	if err := q.encode(w, change); err != nil {
		q.ledger.Abandon()
		return nil, err
	}
	return w, nil
}

// commit makes the change durable. A panic of Pebble's, which is how it reports
// that the write-ahead log failed, is an error like any other. After an error
// nobody knows what is on the disk: the ledger keeps the batch, so that readers
// stay behind it.
func (s *Store) commit(q *queue, w *pebble.Batch, stamp uint64) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = s.fail(fmt.Errorf("%v", cause))
		}
	}()
	if err := s.mark.cover(q.highest); err != nil {
		return s.fail(fmt.Errorf("the mark: %w", err))
	}
	if err := s.db.Apply(w, pebble.Sync); err != nil {
		return s.fail(err)
	}
	q.made++
	s.pressure.written.Add(int64(w.Len()))
	s.mark.reached(q.index, q.made, stamp)
	_ = w.Close() // it gives memory back; the commit stands
	return nil
}

// encode puts the change into w, in the order of the keys, which the memtable takes
// in faster than any other.
func (q *queue) encode(w *pebble.Batch, change *ledger.Change) error {
	q.order = q.order[:0]
	q.run.begin() // of a batch that a panic ended there may be something left
	for i := range change.Conversations {
		c := &change.Conversations[i]
		q.order = append(q.order, placed{placeOf(c.Key), c})
	}
	slices.SortFunc(q.order, func(x, y placed) int { return bytes.Compare(x.place[:], y.place[:]) })
	for i := range q.order {
		p, c := q.order[i].place, q.order[i].changed
		messages := change.Messages[c.Messages.Start:c.Messages.End]
		for i := range messages {
			m := &messages[i]
			full, err := q.run.add(m)
			if err != nil {
				return err
			}
			if full || i == len(messages)-1 {
				q.run.put(w, &p, m.Seq, change.Stamp)
			}
		}
		if c.Before.Head == 0 && len(messages) > 0 {
			putInbox(w, c.Key)
		}
		for j := range change.Members[c.Members.Start:c.Members.End] {
			op := w.SetDeferred(memberKey, memberValue)
			putMember(op.Key, op.Value, &p, &change.Members[int(c.Members.Start)+j])
			op.Finish()
		}
		for j := range change.Devices[c.Devices.Start:c.Devices.End] {
			op := w.SetDeferred(deviceKey, deviceValue)
			putDevice(op.Key, op.Value, &p, &change.Devices[int(c.Devices.Start)+j])
			op.Finish()
		}
		for _, d := range change.Gone[c.Gone.Start:c.Gone.End] {
			op := w.DeleteDeferred(deviceKey)
			putDeviceKey(op.Key, &p, d.User, d.Device)
			op.Finish()
		}
	}
	op := w.MergeDeferred(len(keyCommits)+1, commitsSize)
	copy(op.Key, keyCommits)
	op.Key[len(keyCommits)] = byte(q.index)
	commits{number: q.made + 1, count: 1, stamp: change.Stamp}.put(op.Value)
	return op.Finish()
}

// putInbox enters a conversation that gets its first message with its members.
func putInbox(w *pebble.Batch, c protocol.Conversation) {
	put := func(user uint64) {
		op := w.SetDeferred(inboxSize, 0)
		putInboxKey(op.Key, user, c.Target(user))
		op.Finish()
	}
	switch c.Kind {
	case protocol.KindDirect:
		put(c.A)
		if c.B != c.A {
			put(c.B)
		}
	case protocol.KindSystem:
		put(c.A)
	}
}

const (
	// ackTick is how often acks that wait are looked for: what is left of their second
	// once they are due, less a sync of the disk.
	ackTick = 50 * time.Millisecond

	// tickRecords bounds the records of a queue in one tick, so that no other queue
	// waits for long: that is four times the acks that a ledger lets wait.
	tickRecords = 64
)

// writeAcks writes acks that no batch has taken along, until the store closes.
func (s *Store) writeAcks() {
	ticker := time.NewTicker(ackTick)
	defer ticker.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-s.failure:
			return
		case <-ticker.C:
			s.flushAcks(false)
		}
	}
}

// flushAcks writes the acks of every queue that are due, or all of them. A record
// takes a bounded number of them, so it may take several.
func (s *Store) flushAcks(all bool) {
	for _, q := range s.queues {
		s.flushAcksOf(q, all)
	}
}

func (s *Store) flushAcksOf(q *queue, all bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.survived("writing acks", q.index, cause)
		}
	}()
	var err error
	for n := 0; n < tickRecords && err == nil && q.ledger.Due(uint64(s.now().UnixMilli()), all); n++ {
		_ = q.line.Do(context.Background(), nil, func(batches []*logic.Batch) {
			err = s.write(context.Background(), q, batches, all)
		})
	}
	if err != nil && s.Err() == nil && s.damage.acks.Note() {
		s.log.Error("embedded: acks could not be written, they are tried again", "queue", q.index, "err", err.Error())
	}
}
