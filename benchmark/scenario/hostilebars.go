package scenario

import (
	"fmt"

	"gannet/benchmark/report"
)

// The bars of an attack. What an echo server's users feel of the same bytes is what
// the machine makes of them, so three times that is allowed too.
const (
	barP99   = 100.0  // ms, of neighbours
	barLogin = 1000.0 // ms, the slowest one
	barTimes = 3.0
	barHeap  = 1.10 // of what it was
	barStop  = 10.0 // s

	// heapRoom is what a collection of the heap finds more or less of from one to the next.
	heapRoom = 1e6
)

// missed says which bars were missed.
func missed(r *report.AttackRow) (list []string) {
	miss := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if bar := max(barP99, barTimes*r.Echo.P99); r.Gannet.P99 > bar {
		miss("neighbours' p99 is %.0f ms, at most %.0f", r.Gannet.P99, bar)
	}
	if bar := max(barLogin, barTimes*r.Echo.Login); r.Gannet.Login > bar {
		miss("the slowest login took %.0f ms, at most %.0f", r.Gannet.Login, bar)
	}
	if r.Gannet.NoLogin > 0 {
		miss("%d of %d logins failed", r.Gannet.NoLogin, r.Gannet.Logins)
	}
	if r.Gannet.Messages == 0 {
		miss("nothing was delivered")
	}
	if r.Gannet.Undelivered > 0 {
		miss("%d messages were not delivered", r.Gannet.Undelivered)
	}
	for _, fault := range r.Gannet.Faults {
		miss("%s", fault)
	}
	if !heapIsBack(r.HeapBefore, r.HeapAfter) {
		miss("the live heap was %.1f MB and is %.1f MB after %.0f s", float64(r.HeapBefore)/1e6, float64(r.HeapAfter)/1e6, r.Settled)
	}
	// One at either end of the time is no more than one a second.
	if bar := int(r.LogSeconds) + 2; r.LoudestSaid > bar {
		miss("%d log lines in %.0f s say %q", r.LoudestSaid, r.LogSeconds, r.Loudest)
	}
	if r.Stop > barStop {
		miss("it took %.1f s to stop", r.Stop)
	}
	if r.Exit != "" {
		miss("it did not end well: %s", r.Exit)
	}
	return list
}

// heapIsBack says whether the live heap is what it was, or nearly so.
func heapIsBack(before, after uint64) bool {
	return after > 0 && float64(after) <= barHeap*float64(before)+heapRoom
}
