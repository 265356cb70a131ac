package operate

import "sync/atomic"

// Trouble stands for one reason why something goes wrong. Each time is counted, but logged at
// most once a second, so that a peer that does the same thing a thousand times a second does not
// fill a disk. The zero value is ready to use. Any number of goroutines may use it.
type Trouble struct {
	times atomic.Uint64
	said  Seldom
}

// Note counts; true asks the caller to log it.
func (t *Trouble) Note() bool {
	t.times.Add(1)
	return t.said.Now()
}

// Count counts the trouble when somebody else logs it.
func (t *Trouble) Count() { t.times.Add(1) }

// Times is how often it was counted.
func (t *Trouble) Times() uint64 { return t.times.Load() }
