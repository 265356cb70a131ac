package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// garbageRoom is how much garbage may gather between two collections, also when
// little is alive. A server with 1,000 connections has 8 MB alive and drops as
// much every second at 25,000 messages/s. Each collection takes 5 ms of the one
// processor in use, and what has gathered meanwhile makes the messages of the next
// 30 ms late too: collected every second, they are three in a hundred.
const garbageRoom = 64 << 20

const (
	usualPercent = 100 // the default of GOGC

	// Below 4 MiB x GOGC / 100 Go never collects, which shall not be more than
	// garbageRoom either.
	mostPercent = 100 * garbageRoom / (4 << 20)
)

// spareCollections has the collector run when as much garbage has gathered as is
// alive, and at least garbageRoom. An operator who sets GOGC has decided
// otherwise (false). GOMEMLIMIT stays in force.
func spareCollections() bool {
	if os.Getenv("GOGC") != "" {
		return false
	}
	followCollections()
	return true
}

// followCollections has each collection set what the next one waits for. Nothing
// refers to the mark, so each collection finds it.
var followCollections = sync.OnceFunc(func() { followCollection(new(collectionMark)) })

// collectionMark is large enough to have a place of its own in the heap.
type collectionMark [64]byte

func followCollection(m *collectionMark) {
	debug.SetGCPercent(roomPercent(liveBytes()))
	runtime.SetFinalizer(m, followCollection)
}

// roomPercent gives the GOGC with which garbageRoom may gather beside so much that
// is alive.
func roomPercent(live uint64) int {
	return int(min(max(100*garbageRoom/max(live, 1), usualPercent), mostPercent))
}

// liveBytes is what the last collection found alive.
func liveBytes() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
