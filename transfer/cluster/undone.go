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
	parking []*held    // finished, and to be parked before they are done
}

// held is one of them.
type held struct {
	undone   *undone
	record   chain.Record
	reason   string // why it is to be parked
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

// finish is what the taker calls, once or more often.
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

// end has a record be done. mu is held.
func (u *undone) end(h *held) {
	h.over = true
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

// park notes that a record is to be parked; the first reason counts. One that is done, or
// not known, is left alone.
func (u *undone) park(offset int64, reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	i, found := slices.BinarySearchFunc(u.list, offset, func(h *held, offset int64) int { return int(h.record.Mark.Offset - offset) })
	if found && !u.list[i].finished && u.list[i].reason == "" {
		u.list[i].reason = reason
	}
}

// toPark gives those that are to be parked; each is given back with parked or again.
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

func (u *undone) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.list)
}
