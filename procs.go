package main

import (
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// A server that runs on several Go processors (GOMAXPROCS) without needing them
// pays for it: each goroutine that becomes runnable wakes a thread that looks
// for work and mostly finds none, and poller and lane take turns at the same
// sockets from different cores. On two cores that was half of the server's CPU
// time at 1,000 messages/s and a fifth at 25,000. So it runs on one while one is
// enough, and on all of them otherwise.
const (
	procsPeriod = 200 * time.Millisecond // between two looks at the CPU time used

	// One processor is not enough when procsFull of a core was in use over the last
	// procsSoon, or procsPacked of it in one period alone: a machine that others
	// use too leaves less than a whole one.
	procsFull   = 0.85
	procsSoon   = 2 * time.Second
	procsPacked = 0.97

	// It is enough again when less than procsSpare was in use over the last
	// procsLater; one processor needs about a fifth less for the same load. If it
	// then lasts for less than procsSoon more, the next try waits for twice as
	// long, up to procsLatest.
	procsSpare  = 0.97
	procsLater  = 5 * time.Second
	procsLatest = time.Minute
)

// procs decides whether one processor is enough. Its zero value says yes.
type procs struct {
	all      bool
	used     time.Duration // CPU time
	since    time.Duration // of this stretch of time
	lasted   time.Duration // since the last change
	patience time.Duration
}

// next takes the CPU time that was used in the last period, and says whether all
// processors are needed.
func (p *procs) next(used, period time.Duration) (all bool) {
	p.used += used
	p.since += period
	p.lasted += period
	if p.all {
		if p.since >= p.patience {
			if over(p.used, p.since, procsSpare) {
				p.used, p.since = 0, 0
			} else {
				p.change(false)
			}
		}
		return p.all
	}
	if p.lasted > procsLater {
		p.patience = procsLater
	}
	if over(used, period, procsPacked) || p.since >= procsSoon && over(p.used, p.since, procsFull) {
		if p.lasted < procsLater {
			p.patience = min(2*p.patience, procsLatest)
		}
		p.change(true)
	} else if p.since >= procsSoon {
		p.used, p.since = 0, 0
	}
	return p.all
}

func (p *procs) change(all bool) {
	p.all = all
	p.used, p.since, p.lasted = 0, 0, 0
}

// over says whether more than share of a core was in use.
func over(used, period time.Duration, share float64) bool {
	return float64(used) > share*float64(period)
}

// adaptProcs has this process run on one processor while one is enough, until
// stop is closed. now is how many it uses. An operator who sets GOMAXPROCS has
// decided otherwise.
func adaptProcs(stop <-chan struct{}, now *atomic.Int64, log *slog.Logger) {
	most := runtime.GOMAXPROCS(0)
	now.Store(int64(most))
	if os.Getenv("GOMAXPROCS") != "" || most == 1 {
		return
	}
	set := func(all bool) {
		n := 1
		if all {
			n = most
		}
		if now.Swap(int64(n)) != int64(n) {
			runtime.GOMAXPROCS(n)
			log.Debug("processors in use", "n", n)
		}
	}
	set(false)
	go func() {
		defer set(true)
		tick := time.NewTicker(procsPeriod)
		defer tick.Stop()
		p := procs{patience: procsLater}
		last, lastUsed := time.Now(), cpuTime()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				at, used := time.Now(), cpuTime()
				set(p.next(used-lastUsed, at.Sub(last)))
				last, lastUsed = at, used
			}
		}
	}()
}

// cpuTime is the CPU time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
