package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"gannet/protocol"
)

// Each commit of a queue merges one record into its key of commits:
//
//	number u64  how many commits the queue had made, this one included; the highest counts
//	count u64   1; they add up
//	stamp u64   the stamp of the commit; the highest counts
//
// A queue makes one commit after the other, so a crash takes away its newest ones
// and no others: number and count are equal in a store that is whole, whatever died
// when. Where they differ, commits are missing in the middle.
type commits struct{ number, count, stamp uint64 }

const commitsSize = 3 * 8

func (c commits) put(value []byte) {
	binary.BigEndian.PutUint64(value, c.number)
	binary.BigEndian.PutUint64(value[8:], c.count)
	binary.BigEndian.PutUint64(value[16:], c.stamp)
}

func readCommits(value []byte) (commits, error) {
	if len(value) != commitsSize {
		return commits{}, errCorrupt
	}
	return commits{
		number: binary.BigEndian.Uint64(value), count: binary.BigEndian.Uint64(value[8:]), stamp: binary.BigEndian.Uint64(value[16:]),
	}, nil
}

// commitsMerger adds commits up. Its name is part of the format of a store.
var commitsMerger = &pebble.Merger{
	Name: "gannet.commits.1",
	Merge: func(_, value []byte) (pebble.ValueMerger, error) {
		c, err := readCommits(value)
		return &commitsSum{c}, err
	},
}

type commitsSum struct{ commits }

func (s *commitsSum) MergeNewer(value []byte) error {
	c, err := readCommits(value)
	s.number, s.count, s.stamp = max(s.number, c.number), s.count+c.count, max(s.stamp, c.stamp)
	return err
}

func (s *commitsSum) MergeOlder(value []byte) error { return s.MergeNewer(value) }

func (s *commitsSum) Finish(bool) ([]byte, io.Closer, error) {
	value := make([]byte, commitsSize)
	s.put(value)
	return value, nil, nil
}

func commitsKey(queue int) []byte { return append([]byte(keyCommits), byte(queue)) }

// allCommits is what every queue made, those that this process has not included.
type allCommits [protocol.Partitions]commits

// readAllCommits reads the commits of all queues.
func readAllCommits(db *pebble.DB) (all allCommits, err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: commitsKey(0), UpperBound: append(commitsKey(255), 0)})
	if err != nil {
		return all, err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err != nil {
			break
		}
		if len(it.Key()) != len(keyCommits)+1 {
			err = errCorrupt
			break
		}
		all[it.Key()[len(keyCommits)]], err = readCommits(value)
	}
	return all, errors.Join(err, it.Close())
}

// hole says whether commits are missing in the middle.
func (a *allCommits) hole() error {
	for queue, c := range a {
		if c.number != c.count {
			return fmt.Errorf("%w: of the %d commits of queue %d only %d are there", ErrHole, c.number, queue, c.count)
		}
	}
	return nil
}

// none says that there are no commits at all.
func (a *allCommits) none() bool { return *a == allCommits{} }

// stamp gives the highest stamp.
func (a *allCommits) stamp() (stamp uint64) {
	for _, c := range a {
		stamp = max(stamp, c.stamp)
	}
	return stamp
}

// stamps gives out the numbers that order changes over the whole store, and knows
// which of them are under way.
type stamps struct {
	mu       sync.Mutex
	last     uint64   // drawn
	durable  uint64   // the highest that the store would know after a crash
	underWay []uint64 // by queue; 0: none
}

// draw gives the batch of a queue its stamp.
func (s *stamps) draw(queue int) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.underWay[queue] = s.last
	return s.last
}

// finished says that readers see all of the queue's batch, which was written, or
// that nothing was and there is nothing to see.
func (s *stamps) finished(queue int, written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if written {
		s.durable = max(s.durable, s.underWay[queue])
	}
	s.underWay[queue] = 0
}

// next gives the lowest stamp of which readers may not see everything yet. It is
// never past what is durable: the stamps that were drawn for nothing are drawn once
// more after a crash, and what comes under them then is new to those who asked.
func (s *stamps) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.durable + 1
	for _, stamp := range s.underWay {
		if stamp != 0 {
			next = min(next, stamp)
		}
	}
	return next
}
