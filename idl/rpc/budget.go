package rpc

import (
	"sync"
	"time"
)

// What a budget holds at most, what it gets by the second, and by each call that went
// well: a role that loses all its peers tries a hundred times more at once and ten times
// a second from then on, and makes no more than a quarter of its load again.
const (
	budgetMost   = 100
	budgetSecond = 10
	budgetCall   = 0.25
)

// budget bounds how often failed calls of a role are tried again, all in all, so that
// repetitions do not keep down who was too slow for the first tries. Kitex' own retries
// go to the same address again, and know no other node.
type budget struct {
	mu    sync.Mutex
	left  float64
	since time.Time
}

func newBudget(now time.Time) *budget { return &budget{left: budgetMost, since: now} }

// earn notes a call that went well.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+budgetCall, budgetMost)
}

// spend takes what a repetition costs; false: there is nothing left.
func (b *budget) spend(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.left+now.Sub(b.since).Seconds()*budgetSecond, budgetMost)
	b.since = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
