package report

import (
	"fmt"
	"sync"
)

// shownFaults is how many faults a report spells out; the rest are counted. The
// first ones tell the story, later ones usually follow from them.
const shownFaults = 20

// Faults collects what went wrong in a run. Safe for concurrent use.
type Faults struct {
	mu    sync.Mutex
	count int
	first []string
}

// Addf takes note of a fault.
func (f *Faults) Addf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if len(f.first) < shownFaults {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

// List gives how many faults there were and the first of them.
func (f *Faults) List() (count int, first []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, f.first
}
