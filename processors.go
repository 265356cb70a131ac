package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A server that runs on several Go processors (GOMAXPROCS) without needing them
// pays for it: each goroutine that becomes runnable wakes a thread that looks
// for work and mostly finds none, and poller and lane take turns at the same
// sockets from different cores, whose caches then have to fetch everything from
// each other. On two cores that was half of the server's CPU time at 1,000
// messages/s, a fifth at 25,000 and a third with 1,000 windows of one message.
// So it runs on one while one is enough, or while nobody else's time would be
// left for a second, and on all of them otherwise. One is not enough while the
// store compacts: a goroutine that computes keeps its processor for up to 10 ms,
// and every message would wait for it.
const (
	procsPeriod = 200 * time.Millisecond // between two looks at the CPU time used

	// One processor is not enough when procsFull of a core was in use over the last
	// procsSoon, or procsPacked in one period alone. All of them help only when the
	// cores were idle for procsIdle of one in that time, procsFree in one period:
	// they need up to half as much again for the same work.
	procsFull   = 0.88
	procsSoon   = time.Second
	procsPacked = 0.97
	procsIdle   = 0.5
	procsFree   = 0.75

	// One is tried again when less than procsSpare was in use over the last
	// procsLater, or less than procsCrowded while the cores were hardly idle. If
	// that is found wrong before as much time has passed again, the next try waits
	// for twice as long, up to procsLatest.
	procsSpare   = 0.97
	procsCrowded = 1.25
	procsLater   = 2 * time.Second
	procsLatest  = time.Minute
)

// demand decides whether one processor is enough.
type demand struct {
	all      bool
	stretch  cpuTimes      // what is being judged
	lasted   time.Duration // since the last change
	patience time.Duration // before one is tried again
}

// cpuTimes is where CPU time went.
type cpuTimes struct {
	wall time.Duration
	used time.Duration // by this process
	idle time.Duration // of all cores
}

func (t cpuTimes) minus(b cpuTimes) cpuTimes {
	return cpuTimes{t.wall - b.wall, t.used - b.used, t.idle - b.idle}
}

// uses says whether this process used more than a share of a core.
func (t cpuTimes) uses(share float64) bool { return float64(t.used) > share*float64(t.wall) }

// leaves says whether the cores were idle for more than a share of one.
func (t cpuTimes) leaves(share float64) bool { return float64(t.idle) > share*float64(t.wall) }

// next takes what happened in the last period and says whether all processors
// are needed.
func (d *demand) next(t cpuTimes) (all bool) {
	d.stretch.wall += t.wall
	d.stretch.used += t.used
	d.stretch.idle += t.idle
	d.lasted += t.wall
	if d.all {
		enough := procsSpare
		if !d.stretch.leaves(procsIdle) {
			enough = procsCrowded
		}
		switch {
		case d.stretch.wall < d.patience:
		case d.stretch.uses(enough):
			d.skip()
		default:
			d.change(false)
		}
		return d.all
	}
	if d.lasted > procsLater {
		d.patience = procsLater
	}
	judge := d.stretch.wall >= procsSoon
	full := judge && d.stretch.uses(procsFull) && d.stretch.leaves(procsIdle)
	switch {
	case full, t.uses(procsPacked) && t.leaves(procsFree):
		if d.lasted <= procsLater {
			d.patience = min(2*d.patience, procsLatest)
		}
		d.change(true)
	case judge:
		d.skip()
	}
	return d.all
}

func (d *demand) change(all bool) {
	d.all, d.lasted = all, 0
	d.skip()
}

// skip begins to judge anew.
func (d *demand) skip() { d.stretch = cpuTimes{} }

// processors sets how many of them this process uses.
type processors struct {
	log  *slog.Logger
	most int

	mu     sync.Mutex
	load   demand
	beside int  // compactions and removals of files under way
	mixed  bool // there was one in this period
	used   int
}

// newProcessors leaves the process as it is until follow is called.
func newProcessors(log *slog.Logger) *processors {
	most := runtime.GOMAXPROCS(0)
	return &processors{log: log, most: most, used: most, load: demand{all: true, patience: procsLater}}
}

// background takes note of work beside the messages, a compaction or the removal
// of a file, that begins (+1) or is over (-1).
func (p *processors) background(change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beside += change
	p.mixed = true
	p.apply()
}

// inUse is how many there are now.
func (p *processors) inUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
}

// follow adapts to the load until stop is closed; then all are in use again. An
// operator who sets GOMAXPROCS has decided otherwise. All means as many as there
// were at the start: Go itself stops following a CPU quota that changes.
func (p *processors) follow(stop <-chan struct{}) {
	if os.Getenv("GOMAXPROCS") != "" || p.most == 1 {
		return
	}
	p.need(false)
	go func() {
		defer p.need(true)
		tick := time.NewTicker(procsPeriod)
		defer tick.Stop()
		began := time.Now()
		last := readCPUTimes(began)
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				now := readCPUTimes(began)
				p.look(now.minus(last))
				last = now
			}
		}
	}()
}

// need sets whether the load needs all.
func (p *processors) need(all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.load.all = all
	p.apply()
}

// look takes what happened in the last period.
func (p *processors) look(t cpuTimes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mixed { // what such work uses is not load
		p.mixed = p.beside > 0
		return
	}
	p.load.next(t)
	p.apply()
}

// apply brings the process to what is asked for; mu is held.
func (p *processors) apply() {
	n := 1
	if p.load.all || p.beside > 0 {
		n = p.most
	}
	if n != p.used {
		p.used = n
		runtime.GOMAXPROCS(n)
		p.log.Debug("processors in use", "n", n)
	}
}

// readCPUTimes reads the times since some moment; what cannot be read is 0.
func readCPUTimes(since time.Time) cpuTimes {
	t := cpuTimes{wall: time.Since(since)}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		t.used = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	// proc_stat(5): "cpu user nice system idle iowait …" in hundredths of a second.
	if f, err := os.Open("/proc/stat"); err == nil {
		var user, nice, system, idle, iowait int64
		var line [128]byte // enough of it
		n, _ := f.Read(line[:])
		if _, err := fmt.Sscanf(string(line[:n]), "cpu %d %d %d %d %d", &user, &nice, &system, &idle, &iowait); err == nil {
			t.idle = time.Duration(idle+iowait) * (time.Second / 100)
		}
		f.Close()
	}
	return t
}
