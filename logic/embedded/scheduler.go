package embedded

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// grantPause is how often it is looked whether compactions may go on, as often as by
// Pebble's own scheduler.
const grantPause = 100 * time.Millisecond

// scheduler is Pebble's own scheduler of compactions, but that none begins for a pause
// after one failed, and none before the database is open. Over tables in level 0 that
// cannot be merged Pebble would try again at once, for ever. And where Pebble gives up
// opening it takes from a compaction under way what that reads with, which is a panic
// that nobody recovers.
type scheduler struct {
	pebble.CompactionScheduler
	pause  pause
	opened atomic.Bool

	stop    chan struct{}
	granter sync.WaitGroup
}

func newScheduler() *scheduler {
	return &scheduler{
		// The constructor's name notwithstanding this is the whole scheduler, less the
		// goroutine that grants now and then, which here heeds the pause.
		CompactionScheduler: pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest(),
		stop:                make(chan struct{}),
	}
}

// failed begins a pause.
func (s *scheduler) failed() { s.pause.begin() }

// Register implements pebble.CompactionScheduler.
func (s *scheduler) Register(goroutines int, db pebble.DBForCompaction) {
	paused := pausedDB{db, s}
	s.CompactionScheduler.Register(goroutines, paused)
	s.granter.Go(func() { s.grant(paused) })
}

// Unregister implements pebble.CompactionScheduler.
func (s *scheduler) Unregister() {
	close(s.stop)
	s.granter.Wait()
	s.CompactionScheduler.Unregister()
}

// grant lets a compaction begin that waits for nothing but time.
func (s *scheduler) grant(db pausedDB) {
	ticker := time.NewTicker(grantPause)
	defer ticker.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		if db.GetAllowedWithoutPermission() == 0 {
			continue
		}
		if waiting, _ := db.GetWaitingCompaction(); !waiting {
			continue
		}
		if granted, handle := s.TrySchedule(); granted && !db.Schedule(handle) {
			handle.Done()
		}
	}
}

// pausedDB allows no compaction before the database is open and during a pause.
type pausedDB struct {
	pebble.DBForCompaction
	scheduler *scheduler
}

// GetAllowedWithoutPermission implements pebble.DBForCompaction.
func (d pausedDB) GetAllowedWithoutPermission() int {
	if !d.scheduler.opened.Load() || d.scheduler.pause.left() > 0 {
		return 0
	}
	return d.DBForCompaction.GetAllowedWithoutPermission()
}
