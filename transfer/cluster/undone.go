package cluster

import (
	"slices"
	"sync"

	"gannet/internal/chain"
)

// undone is the records of a queue that were handed over, from the first that is not done.
type undone struct {
	awake chan struct{} // holds one token while mark or parking may be new

	mu      sync.Mutex
	list    []*held    // oldest first; the first is not done
	mark    chain.Mark // all up to it is done
	parking []*held    // records that are finished but must be parked before they are done
}

// held is one record that was handed over.
type held struct {
	undone   *undone
	record   chain.Record
	reason   string // why it must be parked; "": it need not be
	finished bool   // its taker is done with it
	over     bool
}

func newUndone(mark chain.Mark) *undone {
	return &undone{awake: make(chan struct{}, 1), mark: mark}
}

// add takes the next record.
func (u *undone) add(record *chain.Record) *held {
	h := &held{undone: u, record: *record}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, h)
	return h
}

// finish is called by the taker of the record, once or more often.
func (h *held) finish() {
	u := h.undone
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case h.finished:
		return
	case h.reason != "":
		u.parking = append(u.parking, h)
		u.wake()
	default:
		u.end(h)
	}
	h.finished = true
}

// end makes a record done, and moves mark on. The caller holds mu.
func (u *undone) end(h *held) {
	h.over = true
	h.record.Body = nil // an earlier record may take long, and the Body keeps a whole pull in memory
	n := 0
	for n < len(u.list) && u.list[n].over {
		u.mark = u.list[n].record.Mark
		u.list[n] = nil
		n++
	}
	if n == 0 {
		return
	}
	if u.list = u.list[n:]; len(u.list) == 0 {
		u.list = nil
	}
	u.wake()
}

func (u *undone) wake() {
	select {
	case u.awake <- struct{}{}:
	default:
	}
}

// park notes that a record must be parked. Only the first reason counts. A record that is
// finished or unknown is left alone.
func (u *undone) park(offset int64, reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	i, found := slices.BinarySearchFunc(u.list, offset, func(h *held, offset int64) int { return int(h.record.Mark.Offset - offset) })
	if found && !u.list[i].finished && u.list[i].reason == "" {
		u.list[i].reason = reason
	}
}

// toPark gives the records to park. Give each back with parked or again.
func (u *undone) toPark() []*held {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.parking
	u.parking = nil
	return list
}

func (u *undone) parked(h *held) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.end(h)
}

func (u *undone) again(list ...*held) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parking = append(u.parking, list...)
	u.wake()
}

// done gives the mark up to which all is done.
func (u *undone) done() chain.Mark {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.mark
}

// from gives the first offset that may not be done. The caller says that everything before handed
// was handed over.
func (u *undone) from(handed int64) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.list) > 0 {
		return u.list[0].record.Mark.Offset
	}
	return max(u.mark.Offset+1, handed)
}

func (u *undone) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.list)
}
