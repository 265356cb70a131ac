package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gannet/benchmark/process"
	"gannet/benchmark/yardstick"
)

// services are the servers that scripts/services started.
type services struct {
	address map[string]string
	pid     map[string]int
}

// serviceNames are the servers that a cluster needs.
var serviceNames = []string{"redis", "nameserver", "broker", "clickhouse"}

// readServices reads the folder in which scripts/services keeps them.
func readServices(dir string) (*services, error) {
	s := &services{address: map[string]string{}, pid: map[string]int{}}
	ports, err := os.ReadFile(filepath.Join(dir, "ports"))
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w (start servers by scripts/services up --dir DIR)", err)
	}
	for line := range strings.Lines(string(ports)) {
		if f := strings.Fields(line); len(f) == 2 {
			s.address[f[0]] = "127.0.0.1:" + f[1]
		}
	}
	for _, name := range serviceNames {
		b, err := os.ReadFile(filepath.Join(dir, name, "pid"))
		if err != nil {
			return nil, fmt.Errorf("benchmark: %w", err)
		}
		f := strings.Fields(string(b))
		if len(f) == 0 || s.address[name] == "" {
			return nil, fmt.Errorf("benchmark: nothing is known of %s in %s", name, dir)
		}
		if s.pid[name], err = strconv.Atoi(f[0]); err != nil {
			return nil, fmt.Errorf("benchmark: %w", err)
		}
	}
	return s, nil
}

// clusterProcess is a process of a cluster or a pipeline.
type clusterProcess struct {
	role string
	*process.Process
}

// fleet is a cluster or a pipeline that runs.
type fleet struct {
	dir       string
	services  *services
	bare      bool
	members   []clusterProcess
	addresses []string // of gateways, for clients
	token     func(user uint64) (string, error)
}

// open starts a cluster, or a pipeline, under a name of its own.
func (c *Cluster) open(ctx context.Context, s *services, bare bool) (*fleet, error) {
	f := &fleet{services: s, bare: bare}
	var err error
	if f.dir, err = os.MkdirTemp("", "gannet-bench-"); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	name := fmt.Sprintf("bench%x", rand.Uint32())
	if bare {
		err = c.startPipeline(ctx, f, name)
	} else {
		err = c.startNodes(ctx, f, name)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// start starts a process and waits until it is ready.
func (f *fleet) start(ctx context.Context, p *Program, role string, args ...string) (process.Ready, error) {
	ready := filepath.Join(f.dir, fmt.Sprint(role, len(f.members)))
	command, err := p.command(append(args, "--ready-file", ready))
	if err != nil {
		return process.Ready{}, err
	}
	started, err := process.Start(ctx, command, ready)
	if err != nil {
		return process.Ready{}, fmt.Errorf("%s: %w", role, err)
	}
	f.members = append(f.members, clusterProcess{role, started})
	if role == "gateway" {
		f.addresses = append(f.addresses, started.Listen)
	}
	return started.Ready, nil
}

// startNodes starts logic first, for it makes the cluster.
func (c *Cluster) startNodes(ctx context.Context, f *fleet, name string) error {
	keys := filepath.Join(f.dir, "keys")
	settings := filepath.Join(f.dir, "gannet.toml")
	text := fmt.Sprintf("cluster = %q\nredis = [%q]\nrocketmq = [%q]\nclickhouse = [%q]\n[logic]\nqueues = %d\nkeys = %q\n",
		name, f.services.address["redis"], f.services.address["nameserver"], f.services.address["clickhouse"], c.Queues, keys)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	for _, of := range []struct {
		role  string
		n     int
		flags []string
	}{
		{"logic", c.Logics, c.RaisedLogicLimits},
		{"transfer", c.Transfers, nil},
		{"gateway", c.Gateways, append([]string{"--listen", "127.0.0.1:0"}, c.RaisedLimits...)},
	} {
		for range of.n {
			args := append([]string{of.role, "--config", settings, "--debug", "127.0.0.1:0"}, of.flags...)
			if _, err := f.start(ctx, &c.Program, of.role, args...); err != nil {
				return err
			}
		}
	}
	var err error
	if f.token, err = c.Signer(keys); err != nil {
		return fmt.Errorf("benchmark: keys: %w", err)
	}
	return nil
}

func (c *Cluster) startPipeline(ctx context.Context, f *fleet, name string) error {
	f.token = yardstick.BareToken
	role := func(role, peers string) (process.Ready, error) {
		args := append([]string{}, c.PipelineCommand...)
		args = append(args, "--role", role, "--queues", strconv.Itoa(c.Queues), "--record-kb", strconv.Itoa(c.RecordKB), "--topic", name,
			"--redis", f.services.address["redis"], "--rocketmq", f.services.address["nameserver"], "--broker", f.services.address["broker"])
		if peers != "" {
			args = append(args, "--peers", peers)
		}
		return f.start(ctx, &c.Program, role, args...)
	}
	logic, err := role("logic", "")
	if err != nil {
		return err
	}
	var gateways []string
	for range c.Gateways {
		g, err := role("gateway", logic.Debug)
		if err != nil {
			return err
		}
		gateways = append(gateways, g.Debug)
	}
	_, err = role("transfer", strings.Join(gateways, ","))
	return err
}

// close ends all of it, gateways first, and removes the folder.
func (f *fleet) close() error {
	var errs error
	for i := len(f.members) - 1; i >= 0; i-- {
		m := f.members[i]
		if err := m.Stop(); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", m.role, err))
		}
	}
	return errors.Join(errs, os.RemoveAll(f.dir))
}
