package main

import (
	"log/slog"
	"runtime"
	"testing"
	"time"
)

// run feeds a load for a time, in shares of a core, and gives what is in use
// after it.
func (d *demand) run(used, idle float64, long time.Duration) bool {
	for range long / procsPeriod {
		d.next(cpuTimes{
			wall: procsPeriod,
			used: time.Duration(used * float64(procsPeriod)),
			idle: time.Duration(idle * float64(procsPeriod)),
		})
	}
	return d.all
}

func TestProcsFollowTheLoad(t *testing.T) {
	p := demand{patience: procsLater}
	if p.run(0.75, 1, time.Minute) {
		t.Error("three quarters of a core took more than one processor")
	}
	if p.run(1, 0.3, time.Minute) {
		t.Error("a second processor was taken where no core is idle")
	}
	if !p.run(0.9, 1, procsSoon) {
		t.Error("a lasting load of nine tenths was left on one processor")
	}
	if !p.run(1.3, 0.5, time.Minute) {
		t.Error("one processor had to do for 1.3 cores")
	}
	if !p.run(1.3, 0.1, time.Minute) {
		t.Error("all were given up under a load that one cannot carry")
	}
	if !p.run(0.9, 1, procsLater-procsPeriod) {
		t.Error("all were given up before it was clear that one is enough")
	}
	if p.run(0.75, 1, 2*procsLater) {
		t.Error("all were kept though one is enough")
	}
	p.run(1.1, 1, time.Minute)
	if p.run(1.1, 0.3, 2*procsLatest) {
		t.Error("all were kept though others need the cores, and one does nearly as much")
	}
}

func TestProcsTakeAllAtOnceWhenOneIsFull(t *testing.T) {
	p := demand{patience: procsLater}
	p.run(0.3, 1, 10*time.Second)
	if !p.run(1, 1, procsPeriod) {
		t.Error("one processor was left alone with a full period")
	}
}

// A load that one processor cannot quite carry must not make the server change
// back and forth all the time.
func TestProcsChangeEverLessOften(t *testing.T) {
	p := demand{patience: procsLater}
	changes, was := 0, p.all
	for range 10 * time.Minute / procsPeriod {
		if is := p.run(0.9, 1, procsPeriod); is != was {
			changes, was = changes+1, is
		}
	}
	if most := int(2*10*time.Minute/procsLatest) + 10; changes > most {
		t.Errorf("%d changes in ten minutes, more than %d", changes, most)
	}
	if changes == 0 {
		t.Error("no change at all")
	}
	p.run(0.3, 1, 2*procsLatest)
	if p.patience != procsLater {
		t.Errorf("after a calm time the next try would wait for %v", p.patience)
	}
}

// A compaction takes all processors while it lasts, and what it uses does not count
// as load.
func TestProcsAreAllInUseDuringBackgroundWork(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	p := newProcessors(slog.New(slog.DiscardHandler))
	p.need(false)
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Fatalf("%d processors without a load", n)
	}
	p.background(+1)
	p.background(+1)
	p.background(-1)
	p.look(cpuTimes{wall: procsPeriod, used: 2 * procsPeriod})
	if n := runtime.GOMAXPROCS(0); n != p.most {
		t.Errorf("%d of %d processors during a compaction", n, p.most)
	}
	p.background(-1)
	p.look(cpuTimes{wall: procsPeriod, used: 2 * procsPeriod})
	if n := runtime.GOMAXPROCS(0); n != 1 || p.inUse() != 1 {
		t.Errorf("%d processors after it", n)
	}
	p.look(cpuTimes{wall: procsPeriod, used: 2 * procsPeriod, idle: procsPeriod})
	if n := runtime.GOMAXPROCS(0); n != p.most {
		t.Errorf("%d processors under load", n)
	}
}

func TestCPUTimesRise(t *testing.T) {
	began := time.Now()
	before := readCPUTimes(began)
	for x := 0; time.Since(began) < 50*time.Millisecond; x++ {
	}
	got := readCPUTimes(began).minus(before)
	if got.used <= 0 || got.wall < 50*time.Millisecond || before.idle <= 0 {
		t.Errorf("after 50 ms of work: %+v", got)
	}
}
