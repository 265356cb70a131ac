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

// Cluster is a gannet cluster on this machine.
type Cluster struct {
	Services *Services
	Nodes    []*Node

	command  process.Command // the program, without arguments
	dir      string
	settings string // file
}

// Options say what a cluster is made of.
type Options struct {
	Program  process.Command // that serves with the name of a role as its first argument
	Services *Services
	Dir      string // for settings, keys and logs
	Each     int    // nodes of each role
	Queues   int
	Flags    []string // of every role that has them: pairs of --name and value
}

// Start makes a cluster of its own name, and returns when all nodes are ready.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{Services: o.Services, command: o.Program, dir: o.Dir, settings: filepath.Join(o.Dir, "gannet.toml")}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	if err := c.writeSettings(&o); err != nil {
		return nil, err
	}
	for _, role := range []string{Logic, Transfer, Gateway} {
		for i := range o.Each {
			if err := c.add(role, fmt.Sprintf("%s%d", role, i+1)); err != nil {
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

func (c *Cluster) add(role, name string) (err error) {
	n := &Node{Role: role, Name: name, cluster: c}
	c.Nodes = append(c.Nodes, n)
	if n.rpc, err = freePort(); err != nil {
		return err
	}
	if role == Gateway {
		if n.Address, err = freePort(); err != nil {
			return err
		}
	}
	n.log, err = os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

// writeSettings writes the file that all roles read.
func (c *Cluster) writeSettings(o *Options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster = \"faults%d\"\nredis = [%q]\nrocketmq = [%q]\nclickhouse = [%q]\ndebug = \"127.0.0.1:0\"\n",
		rand.Uint32(), o.Services.redis, o.Services.rocketmq, o.Services.clickhouse)
	for i := 0; i+1 < len(o.Flags); i += 2 {
		fmt.Fprintf(&b, "%s = %q\n", strings.TrimPrefix(o.Flags[i], "--"), o.Flags[i+1])
	}
	fmt.Fprintf(&b, "[logic]\nqueues = %s\nkeys = %q\n", strconv.Itoa(o.Queues), c.Keys())
	if err := os.WriteFile(c.settings, []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

// Keys gives the folder of the keys that tokens are signed with.
func (c *Cluster) Keys() string { return filepath.Join(c.dir, "keys") }

// Address gives the addresses of all gateways, as the SDK takes them.
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
