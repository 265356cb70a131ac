package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestRoomForGarbage(t *testing.T) {
	for live, want := range map[uint64]int{
		0:                   mostPercent, // nothing was collected yet
		1 << 20:             mostPercent,
		8 << 20:             800,
		garbageRoom:         100,
		16 * garbageRoom:    100,
		garbageRoom * 2 / 3: 150,
	} {
		if got := roomPercent(live); got != want {
			t.Errorf("%d bytes alive: %d %%, want %d", live, got, want)
		}
	}
}

// The room follows what is alive, up and down, from one collection to the next.
func TestTheCollectorIsSpared(t *testing.T) {
	t.Setenv("GOGC", "")
	if !spareCollections() {
		t.Fatal("the collector is not followed")
	}
	awaitPercent := func(what string, ok func(percent int) bool) {
		t.Helper()
		var percent int
		for range 100 {
			runtime.GC()
			time.Sleep(10 * time.Millisecond) // the finalizer has a goroutine of its own
			percent = debug.SetGCPercent(usualPercent)
			debug.SetGCPercent(percent)
			if ok(percent) {
				return
			}
		}
		t.Fatalf("%s: %d %%", what, percent)
	}
	awaitPercent("a small heap", func(p int) bool { return p > usualPercent })
	large := make([]byte, 2*garbageRoom)
	awaitPercent("a large heap", func(p int) bool { return p == usualPercent })
	runtime.KeepAlive(large)
	large = nil
	awaitPercent("small again", func(p int) bool { return p > usualPercent })
}

func TestAnOperatorsGOGCStays(t *testing.T) {
	t.Setenv("GOGC", "50")
	if spareCollections() {
		t.Error("it was taken over")
	}
}
