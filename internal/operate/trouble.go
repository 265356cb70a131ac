package operate

import "sync/atomic"

// Trouble is one reason for which something does not go as it should: it is counted
// every time and logged once a second at most, for a peer that does the same thing a
// thousand times a second fills no disk. The zero value is ready to use, by any number
// of goroutines.
type Trouble struct {
	times atomic.Uint64
	said  Seldom
}

// Note counts; true asks the caller to log it.
func (t *Trouble) Note() bool {
	t.times.Add(1)
	return t.said.Now()
}

// Count counts what somebody else logs.
func (t *Trouble) Count() { t.times.Add(1) }

// Times is how often it was counted.
func (t *Trouble) Times() uint64 { return t.times.Load() }
