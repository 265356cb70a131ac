package main

import (
	"testing"
	"time"
)

// load feeds share of a core for a time, and gives what is in use after it.
func (p *procs) load(share float64, d time.Duration) bool {
	for range d / procsPeriod {
		p.next(time.Duration(share*float64(procsPeriod)), procsPeriod)
	}
	return p.all
}

func TestProcsFollowTheLoad(t *testing.T) {
	p := procs{patience: procsLater}
	if p.load(0.75, time.Minute) {
		t.Error("three quarters of a core took more than one processor")
	}
	if !p.load(0.9, procsSoon) {
		t.Error("a lasting load of nine tenths was left on one processor")
	}
	if !p.load(1.3, time.Minute) {
		t.Error("one processor had to do for 1.3 cores")
	}
	if !p.load(0.9, procsLater-procsPeriod) {
		t.Error("all were given up before it was clear that one is enough")
	}
	if p.load(0.75, 2*procsLater) {
		t.Error("all were kept though one is enough")
	}
}

func TestProcsTakeAllAtOnceWhenOneIsFull(t *testing.T) {
	p := procs{patience: procsLater}
	p.load(0.3, 10*time.Second)
	if !p.load(1, procsPeriod) {
		t.Error("one processor was left alone with a full period")
	}
}

// A load that one processor cannot quite carry must not make the server change
// back and forth all the time.
func TestProcsChangeEverLessOften(t *testing.T) {
	p := procs{patience: procsLater}
	changes, was := 0, p.all
	for range 10 * time.Minute / procsPeriod {
		if is := p.next(procsPeriod*9/10, procsPeriod); is != was {
			changes, was = changes+1, is
		}
	}
	if most := int(2*10*time.Minute/procsLatest) + 10; changes > most {
		t.Errorf("%d changes in ten minutes, more than %d", changes, most)
	}
	if changes == 0 {
		t.Error("no change at all")
	}
	p.load(0.3, 2*procsLatest)
	if p.patience != procsLater {
		t.Errorf("after a calm time the next try would wait for %v", p.patience)
	}
}
