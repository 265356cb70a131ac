package rpc

import (
	"sync"
	"time"
)

// The most that a budget holds, and what it gains each second and with each successful call. A
// role that loses all its peers may repeat a hundred calls at once, and ten a second from then
// on. While calls succeed, repetitions add at most a quarter to their number.
const (
	budgetMost   = 100
	budgetSecond = 10
	budgetCall   = 0.25
)

// budget bounds the repetitions of failed calls of a role, all in all, so that repetitions do not
// overload nodes that were too slow for the first tries. Kitex's own retries are not used: they
// go to the same address again and know no other node.
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

// spend pays for a repetition. It returns false if nothing is left.
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
