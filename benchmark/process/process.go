// Package process starts, stops and kills the servers that are measured: children
// that say in a file where they listen.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// Times of a child process.
const (
	// ReadyTimeout is how long a child may take until it listens; a server that
	// reads a long log back first stays far below.
	ReadyTimeout = 30 * time.Second

	// readyPoll is how often the ready file is looked for, and so how exact the
	// reported start-up time is.
	readyPoll = 2 * time.Millisecond

	// stopTimeout is how long a child may take to end after SIGTERM.
	stopTimeout = 15 * time.Second
)

// Process is a child that was started and has said that it listens.
type Process struct {
	Ready
	cmd    *exec.Cmd
	stderr *tail
	ended  chan struct{} // closed once the child is gone
}

// Command is how a child is called.
type Command struct {
	Executable string
	Args       []string
	Env        []string  // beside the environment of this process
	Stdin      *os.File  // nil: there is nothing to read
	Stderr     io.Writer // hears all that the child writes to stderr; nil: only the end is kept
}

// With gives the command with further arguments.
func (c Command) With(args ...string) Command {
	c.Args = slices.Concat(c.Args, args)
	return c
}

// Start runs the command and waits until it has written the ready file, which
// must not exist yet.
func Start(ctx context.Context, c Command, readyFile string) (*Process, error) {
	p := &Process{stderr: new(tail), ended: make(chan struct{})}
	p.cmd = exec.Command(c.Executable, c.Args...)
	p.cmd.Env = append(os.Environ(), c.Env...)
	if c.Stdin != nil {
		p.cmd.Stdin = c.Stdin
	}
	p.cmd.Stderr = p.stderr
	if c.Stderr != nil {
		p.cmd.Stderr = io.MultiWriter(p.stderr, c.Stderr)
	}
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
		p.Kill()
		return nil, p.explain(err)
	}
	return p, nil
}

// endTogether kills the child when this process is interrupted a second time,
// which ends it at once: nobody would stop the child any more.
func (p *Process) endTogether() {
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
	p.Kill()
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	_ = syscall.Kill(os.Getpid(), syscall.SIGINT)
}

func (p *Process) awaitReady(ctx context.Context, file string) error {
	timeout := time.NewTimer(ReadyTimeout)
	defer timeout.Stop()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		switch b, err := os.ReadFile(file); {
		case err == nil:
			if err := json.Unmarshal(b, &p.Ready); err != nil {
				return fmt.Errorf("benchmark: ready file: %w", err)
			}
			return nil
		case !errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("benchmark: ready file: %w", err)
		}
		select {
		case <-poll.C:
		case <-timeout.C:
			return fmt.Errorf("benchmark: the server did not listen within %v", ReadyTimeout)
		case <-p.ended:
			return fmt.Errorf("benchmark: the server ended before it listened: %v", p.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Stop ends the child in order, or by force when it takes too long. An error
// says that it did not end well.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return p.explain(fmt.Errorf("benchmark: %w", err))
	}
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		p.Kill()
		return p.explain(fmt.Errorf("benchmark: the server did not stop within %v and was killed", stopTimeout))
	}
	if !p.cmd.ProcessState.Success() {
		return p.explain(fmt.Errorf("benchmark: the server ended with %v", p.cmd.ProcessState))
	}
	return nil
}

// Ended is closed once the child is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Explain says how a child ended that nobody had ended.
func (p *Process) Explain() error {
	return p.explain(fmt.Errorf("benchmark: it ended by itself: %v", p.cmd.ProcessState))
}

// Kill ends the child at once, as a crash would, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.ended
}

// explain adds the end of what the child wrote to stderr.
func (p *Process) explain(err error) error {
	if out := p.stderr.String(); out != "" {
		return fmt.Errorf("%w; its last words:\n%s", err, out)
	}
	return err
}
