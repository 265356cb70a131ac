package benchmark

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Times of a child process.
const (
	// readyTimeout is how long a child may take until it listens; a server that
	// reads a long log back first stays far below.
	readyTimeout = 30 * time.Second

	// readyPoll is how often the ready file is looked for, and so how exact the
	// reported start-up time is.
	readyPoll = 2 * time.Millisecond

	// stopTimeout is how long a child may take to end after SIGTERM.
	stopTimeout = 15 * time.Second
)

// stderrTail is how much of a child's stderr is kept to show when it fails.
const stderrTail = 4 << 10

// ready is what a child writes to its ready file once it listens.
type ready struct {
	Listen string `json:"listen"`
	PID    int    `json:"pid"`
	Debug  string `json:"debug"` // address of the debug endpoint, where there is one
}

// process is a child that was started and has said that it listens.
type process struct {
	ready
	cmd    *exec.Cmd
	stderr *tail
	ended  chan struct{} // closed once the child is gone
}

// startProcess runs the executable and waits until it has written the ready
// file, which must not exist yet.
func startProcess(ctx context.Context, executable string, args []string, readyFile string) (*process, error) {
	p := &process{stderr: new(tail), ended: make(chan struct{})}
	p.cmd = exec.Command(executable, args...)
	p.cmd.Stderr = p.stderr
	// A group of its own: an interrupt from the terminal is for the benchmark,
	// which ends its children in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	go p.endTogether()
	if err := p.awaitReady(ctx, readyFile); err != nil {
		p.kill()
		return nil, p.explain(err)
	}
	return p, nil
}

// endTogether kills the child when this process is interrupted a second time,
// which ends it at once: nobody would stop the child any more.
func (p *process) endTogether() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	for range 2 {
		select {
		case <-signals:
		case <-p.ended:
			return
		}
	}
	p.kill()
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
}

func (p *process) awaitReady(ctx context.Context, file string) error {
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		switch b, err := os.ReadFile(file); {
		case err == nil:
			if err := json.Unmarshal(b, &p.ready); err != nil {
				return fmt.Errorf("benchmark: ready file: %w", err)
			}
			return nil
		case !errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("benchmark: ready file: %w", err)
		}
		select {
		case <-poll.C:
		case <-timeout.C:
			return fmt.Errorf("benchmark: the server did not listen within %v", readyTimeout)
		case <-p.ended:
			return fmt.Errorf("benchmark: the server ended before it listened: %v", p.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends the child in order, or by force when it takes too long. An error
// says that it did not end well.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return p.explain(fmt.Errorf("benchmark: %w", err))
	}
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		p.kill()
		return p.explain(fmt.Errorf("benchmark: the server did not stop within %v and was killed", stopTimeout))
	}
	if !p.cmd.ProcessState.Success() {
		return p.explain(fmt.Errorf("benchmark: the server ended with %v", p.cmd.ProcessState))
	}
	return nil
}

// kill ends the child at once, as a crash would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.ended
}

// explain adds the end of what the child wrote to stderr.
func (p *process) explain(err error) error {
	if out := p.stderr.String(); out != "" {
		return fmt.Errorf("%w; its last words:\n%s", err, out)
	}
	return err
}

// tail keeps the end of what is written to it. Safe for concurrent use.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - stderrTail; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// String gives what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}
