package cluster

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// scriptTimeout bounds one command of scripts/services, which has limits of its own.
const scriptTimeout = 5 * time.Minute

// Services are the servers that a cluster stands on.
type Services struct {
	script string
	dir    string
	own    bool // this process has started them

	redis, rocketmq, clickhouse string // addresses
}

// OpenServices takes the servers in dir, which scripts/services has started, or with an
// empty dir starts them below temp.
func OpenServices(ctx context.Context, script, dir, temp string) (*Services, error) {
	s := &Services{script: script, dir: dir}
	if dir == "" {
		s.dir, s.own = filepath.Join(temp, "services"), true
		if err := s.run(ctx, "up"); err != nil {
			return nil, err
		}
	}
	if err := s.readAddresses(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// readAddresses reads what scripts/services has written for those who use it.
func (s *Services) readAddresses() error {
	b, err := os.ReadFile(filepath.Join(s.dir, "env"))
	if err != nil {
		return fmt.Errorf("benchmark: the servers' addresses: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		switch name {
		case "GANNET_TEST_REDIS":
			s.redis = value
		case "GANNET_TEST_ROCKETMQ":
			s.rocketmq = value
		case "GANNET_TEST_CLICKHOUSE":
			s.clickhouse = value
		}
	}
	if s.redis == "" || s.rocketmq == "" || s.clickhouse == "" {
		return fmt.Errorf("benchmark: %s does not have all of Redis, RocketMQ and ClickHouse", s.dir)
	}
	return nil
}

// RedisProxy stands before Redis, for nodes that are started with the flags.
func (s *Services) RedisProxy() (p *Proxy, flags []string, err error) {
	if p, err = NewProxy(s.redis, nil); err != nil {
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
	for _, name := range []string{Redis, NameServer, Broker, ClickHouse} {
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
