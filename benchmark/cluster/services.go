package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The servers, by the names that scripts/services has for them.
const (
	Redis      = "redis"
	NameServer = "nameserver"
	Broker     = "broker"
	ClickHouse = "clickhouse"
)

// servers are those that a cluster needs.
var servers = []string{Redis, NameServer, Broker, ClickHouse}

// scriptTimeout bounds one command of scripts/services, which has limits of its own.
const scriptTimeout = 5 * time.Minute

// Services are the servers that a cluster stands on.
type Services struct {
	script string
	dir    string
	own    bool // this process has started them

	addresses map[string]string
}

// OpenServices takes the servers in dir, which scripts/services has started, or with an
// empty dir starts them below temp.
func OpenServices(ctx context.Context, script, dir, temp string) (*Services, error) {
	if dir != "" {
		s, err := ReadServices(dir)
		if err == nil {
			s.script = script
		}
		return s, err
	}
	s := &Services{script: script, dir: filepath.Join(temp, "services"), own: true}
	if err := s.run(ctx, "up"); err != nil {
		return nil, err
	}
	if err := s.read(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// ReadServices takes the servers in dir, which scripts/services has started, to be used and
// left as they are.
func ReadServices(dir string) (*Services, error) {
	s := &Services{dir: dir}
	if err := s.read(); err != nil {
		return nil, err
	}
	return s, nil
}

// read reads where the servers are, and sees that each of them has been started.
func (s *Services) read() error {
	ports, err := os.ReadFile(filepath.Join(s.dir, "ports"))
	if err != nil {
		return fmt.Errorf("benchmark: %w (start servers by scripts/services up --dir DIR)", err)
	}
	s.addresses = map[string]string{}
	for line := range strings.Lines(string(ports)) {
		if f := strings.Fields(line); len(f) == 2 {
			s.addresses[f[0]] = "127.0.0.1:" + f[1]
		}
	}
	for _, name := range servers {
		if s.addresses[name] == "" {
			return fmt.Errorf("benchmark: %s has no %s", s.dir, name)
		}
		if _, err := s.PID(name); err != nil {
			return err
		}
	}
	return nil
}

// Address gives where a server listens.
func (s *Services) Address(name string) string { return s.addresses[name] }

// PID gives a server's process, or the last one that it had.
func (s *Services) PID(name string) (int, error) {
	file := filepath.Join(s.dir, name, "pid")
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("benchmark: the process of %s: %w", name, err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(b)), " ") // when that process began comes after it
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, fmt.Errorf("benchmark: %s: %w", file, err)
	}
	return pid, nil
}

// RedisProxy stands before Redis, for nodes that are started with the flags.
func (s *Services) RedisProxy() (p *Proxy, flags []string, err error) {
	if p, err = NewProxy(s.Address(Redis), nil); err != nil {
		return nil, nil, err
	}
	return p, []string{"--redis", p.Address()}, nil
}

// run runs a command of scripts/services.
func (s *Services) run(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, scriptTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, s.script, append(args, "--dir", s.dir)...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) } // it takes down what it began
	c.WaitDelay = time.Minute
	// A group of its own: an interrupt from the terminal is for the benchmark. A file, and
	// no pipe: the servers it starts would keep a pipe open.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said, err := os.CreateTemp("", "gannet-services-")
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	defer os.Remove(said.Name())
	defer said.Close()
	c.Stdout, c.Stderr = said, said
	if err := c.Run(); err != nil {
		out, _ := os.ReadFile(said.Name())
		return fmt.Errorf("benchmark: %s %s: %w; it said:\n%s", s.script, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Kill ends a server at once.
func (s *Services) Kill(ctx context.Context, name string) error { return s.run(ctx, "kill", name) }

// Stop ends a server in order.
func (s *Services) Stop(ctx context.Context, name string) error {
	return s.run(ctx, "kill", name, "TERM")
}

// Freeze stops a server as it stands, until Thaw.
func (s *Services) Freeze(ctx context.Context, name string) error {
	return s.run(ctx, "kill", name, "STOP")
}

// Thaw lets a server go on.
func (s *Services) Thaw(ctx context.Context, name string) error {
	return s.run(ctx, "kill", name, "CONT")
}

// Start starts a server again and returns when it answers; one that runs is left alone.
func (s *Services) Start(ctx context.Context, name string) error { return s.run(ctx, "start", name) }

// StartEmpty starts a server again without its data.
func (s *Services) StartEmpty(ctx context.Context, name string) error {
	return s.run(ctx, "start", name, "--empty")
}

// Mend has every server run.
func (s *Services) Mend(ctx context.Context) error {
	for _, name := range servers {
		_ = s.Thaw(ctx, name) // fails where it does not run
		if err := s.Start(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// data gives where a server's data lie, and where a copy of them may.
func (s *Services) data(name string) (data, copied string) {
	return filepath.Join(s.dir, name, "data"), filepath.Join(s.dir, name, "data.older")
}

// Keep copies the data of a server that may be running, for Restore.
func (s *Services) Keep(name string) error {
	data, copied := s.data(name)
	if err := os.RemoveAll(copied); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	if err := os.CopyFS(copied, os.DirFS(data)); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

// Restore gives a server that does not run the data that Keep copied.
func (s *Services) Restore(name string) error {
	data, copied := s.data(name)
	if err := os.RemoveAll(data); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	if err := os.Rename(copied, data); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

// Close stops the servers, if they were started for this run.
func (s *Services) Close() error {
	if !s.own {
		return nil
	}
	return s.run(context.Background(), "down")
}
