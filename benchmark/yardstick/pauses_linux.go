package yardstick

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// pausePriority is above what the kernel's own threads have by default: 50.
const pausePriority = 60

// usableCores gives the cores that this process may run on.
func usableCores() (cores []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	for core := 0; len(cores) < set.Count(); core++ {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// comeFirst binds the calling thread to the core and has it run there before
// all others.
func comeFirst(core int) error {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("benchmark: core %d: %w", core, err)
	}
	err := unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: pausePriority}, 0)
	if errors.Is(err, unix.EPERM) {
		return errors.New("benchmark: measuring pauses needs root or CAP_SYS_NICE")
	}
	if err != nil {
		return fmt.Errorf("benchmark: real-time scheduling: %w", err)
	}
	return nil
}

// monotonic is the clock of sleepUntil, in nanoseconds.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail with this clock
	return t.Nano()
}

// sleepUntil rests until the moment due.
func sleepUntil(due int64) {
	t := unix.NsecToTimespec(due)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &t, nil) == unix.EINTR { // a signal
	}
}
