package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/process"
	"gannet/benchmark/soak"
)

// crowd is the apps of a soak.
type crowd struct {
	settings *Soak
	target   *target
	dir      string // of stores and diaries
	apps     []*member
	killed   int // apps, by restart
	faults   sayings
}

// member is an app: a process again and again, on the same stores.
type member struct {
	name    int
	users   []uint64
	started int // times
	process *process.Process
	stdin   *os.File // its end of a pipe on ours; closed, the app ends
}

// sayings are what went wrong. Safe for concurrent use.
type sayings struct {
	mu   sync.Mutex
	said []string
}

func (s *sayings) addf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

func (s *sayings) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// start starts all apps.
func (c *crowd) start(ctx context.Context, silent bool) error {
	errs := make([]error, len(c.apps))
	var all sync.WaitGroup
	for i, m := range c.apps {
		all.Go(func() { errs[i] = c.begin(ctx, m, silent) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// begin starts an app.
func (c *crowd) begin(ctx context.Context, m *member, silent bool) error {
	s := c.settings
	command, err := s.Program.command(s.AppCommand)
	if err != nil {
		return err
	}
	ready := filepath.Join(c.dir, fmt.Sprintf("app-%d.ready", m.name))
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("benchmark: %w", err)
	}
	command = command.With(
		"--address", c.target.Address, "--keys", filepath.Join(c.target.data, "keys"), "--dir", c.dir, "--ready-file", ready,
		"--pause", s.Pause.String(), "--handle", s.Handle.String(), "--size", strconv.Itoa(s.Size),
	)
	if silent {
		command = command.With("--silent")
	}
	for _, user := range m.users {
		command = command.With("--user", strconv.FormatUint(user, 10))
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	defer theirs.Close()
	command.Stdin = theirs
	p, err := process.Start(ctx, command, ready)
	if err != nil {
		ours.Close()
		return fmt.Errorf("benchmark: app %d: %w", m.name, err)
	}
	m.process, m.stdin = p, ours
	m.started++
	return nil
}

// restart kills an app, at whatever it is, and starts it after a while.
func (c *crowd) restart(ctx context.Context, which int, absence time.Duration) {
	m := c.apps[which]
	if !c.runs(m) {
		return
	}
	m.process.Kill()
	m.stdin.Close()
	m.process = nil
	c.killed++
	_ = meter.Rest(ctx, absence)
	if err := c.begin(ctx, m, false); err != nil {
		c.faults.addf("app %d does not come back: %v", which, err)
	}
}

// runs says whether an app is there. That it ended by itself is a fault, once.
func (c *crowd) runs(m *member) bool {
	if m.process == nil {
		return false
	}
	select {
	case <-m.process.Ended():
		c.faults.addf("app %d: %v", m.name, m.process.Explain())
		m.stdin.Close()
		m.process = nil
		return false
	default:
		return true
	}
}

// drain lets no app send any more.
func (c *crowd) drain() {
	for _, m := range c.apps {
		if !c.runs(m) {
			continue
		}
		if _, err := fmt.Fprintln(m.stdin, soak.Drain); err != nil {
			c.faults.addf("app %d: %v", m.name, err)
		}
	}
}

// stop ends all apps in order.
func (c *crowd) stop() {
	var all sync.WaitGroup
	for _, m := range c.apps {
		if !c.runs(m) {
			continue
		}
		all.Go(func() {
			if err := m.process.Stop(); err != nil {
				c.faults.addf("app %d: %v", m.name, err)
			}
			m.stdin.Close()
			m.process = nil
		})
	}
	all.Wait()
}

// kill ends whatever apps are still there.
func (c *crowd) kill() {
	for _, m := range c.apps {
		if m.process != nil {
			m.process.Kill()
			m.stdin.Close()
			m.process = nil
		}
	}
}

// lives gives how many lives clients have had.
func (c *crowd) lives() (n int) {
	for _, m := range c.apps {
		n += m.started * len(m.users)
	}
	return n
}

// await reads the diaries until the condition holds, or for as long as it may take.
func (c *crowd) await(ctx context.Context, holds func(*soak.Verdict) bool) error {
	for deadline := time.Now().Add(soakPatience); ; {
		v, err := soak.Judge(c.dir, c.settings.Clients)
		if err != nil || holds(v) || time.Now().After(deadline) {
			return err
		}
		for _, m := range c.apps {
			if !c.runs(m) {
				return nil // it will not get any better
			}
		}
		if err := meter.Rest(ctx, soakGlance); err != nil {
			return err
		}
	}
}
