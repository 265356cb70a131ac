package load

import (
	"context"
	"runtime"
	"time"
)

// sendOnTime keeps the timetable for clients of the SDK.
func (l *Load) sendOnTime(ctx context.Context) {
	// The thread is given up to precise sleeping and ends with the goroutine.
	runtime.LockOSThread()
	prepareSleep()
	table := l.share(0, 1)
	defer table.lag.Flush()
	for ctx.Err() == nil {
		began := l.clock.now()
		next, more := l.sendDue(table, began)
		if !more {
			return
		}
		sleep(min(time.Duration(max(next, began+int64(minWake))-l.clock.now()), maxRest))
	}
}

// share gives the part of the timetable of one of several threads; nil where
// windows are kept full.
func (l *Load) share(index, of int) *share {
	if l.config.Rate == 0 {
		return nil
	}
	return &share{
		// Both users of a conversation begin it.
		schedule: schedule{rate: l.config.Rate, users: uint64(len(l.users)), first: 2 * uint64(l.config.Conversations)}, index: uint64(index), of: uint64(of),
		lag: l.lag.Sampler(),
	}
}

// sendDue sends what is due now and says when something is next; more is false
// when the run is over by then.
func (l *Load) sendDue(table *share, now int64) (next int64, more bool) {
	from, end := l.from.Load(), l.until.Load()-l.begin
	next = table.sendDue(now-l.begin, end, func(k uint64, due int64) {
		due += l.begin
		if due >= from {
			table.lag.Add(l.clock.now() - due)
		}
		l.users[l.order[k%uint64(len(l.order))]].sendDue(due)
	})
	return next + l.begin, next < end
}
