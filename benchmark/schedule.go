package benchmark

import (
	"context"
	"runtime"
	"time"
)

// minWake is how long an open loop rests between two wakes at the least: the
// server shares the cores, and a wake for every message would take them away
// from it. What became due meanwhile goes out late by up to this much, and its
// latency counts from when it was due.
const minWake = 500 * time.Microsecond

// maxRest bounds one rest, so that a cancelled run ends soon.
const maxRest = 100 * time.Millisecond

// schedule is the timetable of an open loop: message k, from 0, is due k/rate
// seconds after the epoch, whatever happened to the ones before.
type schedule struct {
	rate uint64 // messages per second
}

// at gives when message k is due, in nanoseconds after the epoch.
func (s schedule) at(k uint64) int64 { return int64(k * uint64(time.Second) / s.rate) }

// due gives how many messages are due until now: those with at(k) <= now.
func (s schedule) due(now int64) uint64 {
	if now < 0 {
		return 0
	}
	return ((uint64(now)+1)*s.rate + uint64(time.Second) - 1) / uint64(time.Second)
}

// run calls send for every message that is due until end, in order, at its time
// or as soon after it as wakes allow. It returns early when ctx is done.
func (s schedule) run(ctx context.Context, clock clock, end int64, send func(k uint64, due int64)) {
	// The thread is given up to precise sleeping and ends with the goroutine.
	runtime.LockOSThread()
	prepareSleep()
	last := s.due(end - 1)
	for k := uint64(0); k < last && ctx.Err() == nil; {
		now := clock.now()
		for due := min(s.due(now), last); k < due; k++ {
			send(k, s.at(k))
		}
		rest := max(time.Duration(s.at(k)-now), minWake-time.Duration(clock.now()-now))
		sleep(min(rest, maxRest))
	}
}

// clock counts nanoseconds from the epoch of a run, monotonically.
type clock struct{ epoch time.Time }

func (c clock) now() int64 { return int64(time.Since(c.epoch)) }
