package benchmark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// pausePeriod is how often each core is looked at. A pause counts as often as it
// is long, like messages of an open loop that fall into it. Each look costs some
// microseconds.
const pausePeriod = 2 * time.Millisecond

// pausesName is how reports call what a PauseWatch found.
const pausesName = "pauses of the machine"

// PauseWatch is a process of its own that measures how long the machine stops
// at times: a thread on each core, which comes before all others, is to be woken
// every pausePeriod and notes by how much that was late. On a machine of one's
// own that is some microseconds. Longer ones come from a host that gives the core
// to somebody else, and from work that the kernel does not interrupt, also where
// the load caused it. Cyclictest and jHiccup measure the same. Its fields are
// flags.
type PauseWatch struct {
	ReadyFile  string `help:"Where to say that the measurement has begun." required:""`
	ResultFile string `help:"Where to write the result at the end." required:""`
}

// Run measures until ctx is done. The error says that it may not, or not here.
func (w *PauseWatch) Run(ctx context.Context, _, _ io.Writer) error {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	cores, err := usableCores()
	if err != nil {
		return err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(cores) + 1)) // none waits for another
	late := newRecorder()
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
		if err = writeReady(w.ReadyFile, ready{PID: os.Getpid()}); err == nil {
			<-ctx.Done()
		}
	}
	stop.Store(true)
	watchers.Wait()
	if err != nil {
		return err
	}
	b, err := json.Marshal(late.summary())
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
func watchCore(core int, late *recorder, stop *atomic.Bool, began chan<- error) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	err := comeFirst(core)
	began <- err
	if err != nil {
		return
	}
	sampler := sampler{to: late}
	defer sampler.flush()
	for due := monotonic() + int64(pausePeriod); !stop.Load(); due += int64(pausePeriod) {
		sleepUntil(due)
		sampler.add(monotonic() - due)
	}
}

// mayComeFirst says whether a PauseWatch would be allowed to measure.
func mayComeFirst() error {
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

// pauses is a PauseWatch that runs.
type pauses struct {
	process *process
	dir     string
}

func startPauses(ctx context.Context, p *Program) (*pauses, error) {
	executable, err := p.executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gannet-pauses-")
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	w := &pauses{dir: dir}
	readyFile := filepath.Join(dir, "ready")
	args := append(append([]string(nil), p.PausesCommand...), "--ready-file", readyFile, "--result-file", w.file())
	if w.process, err = startProcess(ctx, executable, args, readyFile); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return w, nil
}

func (w *pauses) file() string { return filepath.Join(w.dir, "result") }

// stop ends the measurement and gives what it found.
func (w *pauses) stop() (found Latency, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(w.dir)) }()
	if err := w.process.stop(); err != nil {
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
