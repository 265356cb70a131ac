package load

import (
	"fmt"

	"gannet/benchmark/meter"
)

// Counts is how far a load has got.
type Counts struct {
	Acked, Delivered uint64
	In, Out          uint64 // bytes
	Reads, Writes    uint64
	PushAcks         uint64 // of lean users
	Again            uint64 // messages that were refused for the moment
	FailedConnects   uint64
}

// Counts gives how far the load has got until now.
func (l *Load) Counts() (c Counts) {
	for _, u := range l.users {
		c.Acked += u.acked.Load()
		c.Delivered += u.delivered.Load()
		c.In += u.wire.in.Load()
		c.Out += u.wire.out.Load()
		c.Reads += u.wire.reads.Load()
		c.Writes += u.wire.writes.Load()
		c.PushAcks += u.pushAcks.Load()
		c.Again += u.again.Load()
		c.FailedConnects += u.wire.failed.Load()
	}
	return c
}

// Minus gives what was added since b.
func (c Counts) Minus(b Counts) Counts {
	return Counts{
		Acked: c.Acked - b.Acked, Delivered: c.Delivered - b.Delivered,
		In: c.In - b.In, Out: c.Out - b.Out, Reads: c.Reads - b.Reads, Writes: c.Writes - b.Writes, PushAcks: c.PushAcks - b.PushAcks,
		Again: c.Again - b.Again, FailedConnects: c.FailedConnects - b.FailedConnects,
	}
}

// Pending gives how many messages wait for their ack, or to be sent at all.
func (l *Load) Pending() (n uint64) {
	for _, u := range l.users {
		n += u.pending()
	}
	return n
}

// Latencies are what a run measured, complete after Verify.
type Latencies struct {
	Ack     meter.Latency // from when a message was due to its ack
	Deliver meter.Latency // from then to its arrival at the receiver
	Lag     meter.Latency // of the timetable: until it was sent
}

// Latencies gives the latencies of the messages that count.
func (l *Load) Latencies() Latencies {
	return Latencies{Ack: l.ackTimes.Summary(), Deliver: l.deliverTimes.Summary(), Lag: l.lag.Summary()}
}

// lost takes note of a lost connection.
func (l *Load) lost(user uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lostConns == 0 {
		l.firstLost = fmt.Sprintf("user %d: %v", user, err)
	}
	l.lostConns++
}

// overLimit notes that a limit of the server refused a request; why says which.
func (l *Load) overLimit(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limited == 0 {
		l.limit = why.Error()
	}
	l.limited++
}

// LostConnections gives how often a user lost the connection, and the first.
func (l *Load) LostConnections() (n int, first string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lostConns, l.firstLost
}
