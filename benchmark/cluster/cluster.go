package cluster

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
)

// Cluster is a gannet cluster on this machine, or a bare pipeline.
type Cluster struct {
	Services *Services
	Nodes    []*Node

	dir string
}

// Options say what a cluster is made of.
type Options struct {
	Program  process.Command // that serves with the name of a role as its first argument
	Services *Services
	Dir      string // for settings, keys and logs
	Queues   int
	Flags    []string // of every role that has them: pairs of --name and value

	Gateways, Logics, Transfers int
}

// Start makes a cluster of its own name, and returns when all nodes are ready.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{Services: o.Services, dir: o.Dir}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	settings, err := c.writeSettings(&o)
	if err != nil {
		return nil, err
	}
	for _, of := range []struct {
		role string
		n    int
	}{{Logic, o.Logics}, {Transfer, o.Transfers}, {Gateway, o.Gateways}} {
		for range of.n {
			n, err := c.add(of.role, o.Program.With(of.role, "--config", settings))
			if err == nil {
				err = n.takePorts()
			}
			if err != nil {
				return nil, errors.Join(err, c.Close())
			}
		}
	}
	for _, n := range c.Nodes {
		if err := n.Start(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// add adds a node, which does not run yet; command is how it is started. Its name is that
// of its role and which one of the role it is.
func (c *Cluster) add(role string, command process.Command) (*Node, error) {
	n := &Node{Role: role, Name: fmt.Sprintf("%s%d", role, len(c.Of(role))+1), dir: c.dir, command: command}
	c.Nodes = append(c.Nodes, n)
	var err error
	if n.log, err = os.OpenFile(filepath.Join(c.dir, n.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	n.command.Stderr = n.log
	return n, nil
}

// writeSettings writes the file that all roles read.
func (c *Cluster) writeSettings(o *Options) (file string, err error) {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster = %q\nredis = [%q]\nrocketmq = [%q]\nclickhouse = [%q]\ndebug = \"127.0.0.1:0\"\n",
		newName(), o.Services.Address(Redis), o.Services.Address(NameServer), o.Services.Address(ClickHouse))
	for i := 0; i+1 < len(o.Flags); i += 2 {
		fmt.Fprintf(&b, "%s = %q\n", strings.TrimPrefix(o.Flags[i], "--"), o.Flags[i+1])
	}
	fmt.Fprintf(&b, "[logic]\nqueues = %s\nkeys = %q\n", strconv.Itoa(o.Queues), c.Keys())
	file = filepath.Join(c.dir, "gannet.toml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("benchmark: %w", err)
	}
	return file, nil
}

// newName gives a name that no other cluster on the same servers has.
func newName() string { return fmt.Sprintf("bench%d", rand.Uint32()) }

// Keys gives the folder of the keys that tokens are signed with.
func (c *Cluster) Keys() string { return filepath.Join(c.dir, "keys") }

// Address gives the addresses of all gateways, as load.Server and the SDK take them.
func (c *Cluster) Address() string {
	var all []string
	for _, n := range c.Of(Gateway) {
		all = append(all, n.Address)
	}
	return strings.Join(all, ",")
}

// Of gives the nodes of a role.
func (c *Cluster) Of(role string) (nodes []*Node) {
	for _, n := range c.Nodes {
		if n.Role == role {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// Ended says which nodes ended by themselves.
func (c *Cluster) Ended() error {
	var errs error
	for _, n := range c.Nodes {
		errs = errors.Join(errs, n.Ended())
	}
	return errs
}

// Close stops all nodes in order: gateways first, on whom nobody waits. Servers stay.
func (c *Cluster) Close() error {
	var errs error
	for i := len(c.Nodes) - 1; i >= 0; i-- {
		n := c.Nodes[i]
		if n.process != nil {
			_ = n.Thaw() // one that is stopped hears of its end only then
		}
		errs = errors.Join(errs, n.Stop())
		if n.log != nil {
			errs = errors.Join(errs, n.log.Close())
		}
	}
	return errs
}
