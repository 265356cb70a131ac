package load

import (
	"time"

	"gannet/benchmark/meter"
)

// minWake is how long an open loop rests between two wakes at the least: the
// server shares the cores, and a wake for every message would take them away
// from it. What became due meanwhile goes out late by up to this much, and its
// latency counts from when it was due.
const minWake = 500 * time.Microsecond

// maxRest bounds one rest, so that a cancelled run ends soon.
const maxRest = 100 * time.Millisecond

// beginRate is how many messages a second begin the conversations of a ring: fewer than a
// small cluster takes, and a hundred thousand conversations begin within a minute.
const beginRate = 5000

// schedule is the timetable of an open loop: message k, from 0, is due k/rate
// seconds after the epoch, whatever happened to the ones before. Message k is
// that of the user at position k modulo users. The first ones may be due sooner.
type schedule struct {
	rate  uint64 // messages per second
	users uint64
	first uint64 // so many come at beginRate before the others
}

// at gives when message k is due, in nanoseconds after the epoch.
func (s schedule) at(k uint64) int64 {
	began := min(k, s.first)
	return int64(began*uint64(time.Second)/beginRate + (k-began)*uint64(time.Second)/s.rate)
}

// share is the part of a schedule that one thread sends: the messages of the
// users at positions index, index+of, index+2·of …
type share struct {
	schedule
	index, of uint64
	n         uint64        // of its messages that were sent
	lag       meter.Sampler // from when a message was due until it was sent
}

// next gives the message whose turn it is.
func (s *share) next() (k uint64, due int64) {
	users := (s.users - s.index + s.of - 1) / s.of
	k = s.n/users*s.users + s.n%users*s.of + s.index
	return k, s.at(k)
}

// sendDue calls send for every message of the share that is due now and before
// end, in order, and gives when the next one is; at end or later there is none.
func (s *share) sendDue(now, end int64, send func(k uint64, due int64)) (next int64) {
	for {
		k, due := s.next()
		if due > now || due >= end {
			return due
		}
		s.n++
		send(k, due)
	}
}

// clock counts nanoseconds from the epoch of a run, monotonically.
type clock struct{ epoch time.Time }

func (c clock) now() int64 { return int64(time.Since(c.epoch)) }
