package yardstick

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/process"
)

// pausePeriod is how often each core is looked at. A pause counts as often as it
// is long, like messages of an open loop that fall into it. Each look costs some
// microseconds.
const pausePeriod = 2 * time.Millisecond

// PausesName is how reports call what a PauseWatch found.
const PausesName = "pauses of the machine"

// PauseWatch is a process of its own that measures how long the machine stops
// at times: a thread on each core, which comes before all others, is to be woken
// every pausePeriod and notes by how much that was late. On a machine of one's
// own that is some microseconds. Longer ones come from a host that gives the core
// to somebody else, and from work that the kernel does not interrupt, also where
// the load caused it. Cyclictest and jHiccup measure the same. WatchPauses starts it
// with the environment that it needs. Its fields are flags.
type PauseWatch struct {
	ReadyFile  string `help:"Where to say that the measurement has begun." required:""`
	ResultFile string `help:"Where to write the result at the end." required:""`
}

// Run measures until ctx is done. The error says that it may not, or not here.
func (w *PauseWatch) Run(ctx context.Context, _, _ io.Writer) error {
	cores, err := usableCores()
	if err != nil {
		return err
	}
	late := meter.NewRecorder()
	var stop atomic.Bool
	var watchers sync.WaitGroup
	began := make(chan error, len(cores))
	for _, core := range cores {
		watchers.Go(func() { watchCore(core, late, &stop, began) })
	}
	for range cores {
		err = errors.Join(err, <-began)
	}
	if err == nil {
		if err = process.WriteReady(w.ReadyFile, process.Ready{PID: os.Getpid()}); err == nil {
			<-ctx.Done()
		}
	}
	stop.Store(true)
	watchers.Wait()
	if err != nil {
		return err
	}
	b, err := json.Marshal(late.Summary())
	if err == nil {
		err = os.WriteFile(w.ResultFile, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

// watchCore notes how late a thread on the core wakes until stop is set. It
// first says whether it may.
func watchCore(core int, late *meter.Recorder, stop *atomic.Bool, began chan<- error) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	err := comeFirst(core)
	began <- err
	if err != nil {
		return
	}
	sampler := late.Sampler()
	defer sampler.Flush()
	for due := monotonic() + int64(pausePeriod); !stop.Load(); due += int64(pausePeriod) {
		sleepUntil(due)
		sampler.Add(monotonic() - due)
	}
}

// MayWatchPauses says whether a PauseWatch would be allowed to measure.
func MayWatchPauses() error {
	cores, err := usableCores()
	if err != nil {
		return err
	}
	tried := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		tried <- comeFirst(cores[0])
	}()
	return <-tried
}

// Pauses is a PauseWatch that runs.
type Pauses struct {
	process *process.Process
	dir     string
}

// WatchPauses starts a PauseWatch; command makes one.
func WatchPauses(ctx context.Context, command process.Command) (*Pauses, error) {
	cores, err := usableCores()
	if err != nil {
		return nil, err
	}
	// Its threads wait neither for each other nor for a garbage collection.
	command.Env = append(command.Env, "GOGC=off", fmt.Sprintf("GOMAXPROCS=%d", len(cores)+1))
	dir, err := os.MkdirTemp("", "gannet-pauses-")
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	w := &Pauses{dir: dir}
	readyFile := filepath.Join(dir, "ready")
	w.process, err = process.Start(ctx, command.With("--ready-file", readyFile, "--result-file", w.file()), readyFile)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return w, nil
}

func (w *Pauses) file() string { return filepath.Join(w.dir, "result") }

// Stop ends the measurement and gives what it found.
func (w *Pauses) Stop() (found meter.Latency, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(w.dir)) }()
	if err := w.process.Stop(); err != nil {
		return found, err
	}
	b, err := os.ReadFile(w.file())
	if err != nil {
		return found, fmt.Errorf("benchmark: %w", err)
	}
	if err := json.Unmarshal(b, &found); err != nil {
		return found, fmt.Errorf("benchmark: pauses: %w", err)
	}
	return found, nil
}
