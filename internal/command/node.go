package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/cluster"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/hostport"
	"gannet/internal/operate"
	"gannet/internal/registry"
	"gannet/internal/rocketmq"
)

// nodeFlags are those of every role of a cluster.
type nodeFlags struct {
	RPCListen    string `name:"rpc-listen" default:"127.0.0.1:0" placeholder:"ADDR" help:"Address for the other nodes of the cluster; port 0: a free one. There is neither TLS nor authentication on it: keep it on a network of the cluster's own."`
	RPCAdvertise string `name:"rpc-advertise" placeholder:"ADDR" help:"Address at which other nodes reach --rpc-listen, if that is another one or listens everywhere."`

	clusterFlags `embed:""`
	processFlags `embed:""`
}

// Validate refuses settings that cannot be meant.
func (f *nodeFlags) Validate() error {
	return cmp.Or(checkListen("rpc-listen", f.RPCListen), checkListen("rpc-advertise", f.RPCAdvertise), f.clusterFlags.Validate(), f.processFlags.Validate())
}

// node is a process of one role.
type node struct {
	*live
	parts
	role      registry.Role
	id        uint64
	plan      *cluster.Plan
	nodes     *nodes
	neighbour *neighbour
	listener  net.Listener     // for other nodes
	address   string           // at which they reach it
	keys      []string         // names of the keys of tokens; of a logic node
	stream    *rocketmq.Client // nil: not connected
	debug     *operate.Server
	log       *slog.Logger
	ctx       context.Context // ends with the node

	serving atomic.Bool
}

// open connects a node to what all roles need. Also after an error the caller must stop the node,
// which ends the parts that have begun by then.
func (f *nodeFlags) open(ctx context.Context, role registry.Role, log *slog.Logger) (n *node, err error) {
	n = &node{role: role, id: rand.Uint64() | 1, log: log.With("role", string(role))}
	if n.live, err = f.openLive(ctx, n.log); err != nil {
		return n, err
	}
	n.began("connection to Redis", func(context.Context) error { n.close(); return nil })
	n.began("debug endpoint", func(context.Context) error {
		if n.debug != nil {
			n.debug.Stop()
		}
		return nil
	})
	starting := ctx
	ctx, cancel := context.WithCancel(context.Background())
	n.ctx = ctx
	n.nodes = newNodes(n.registry)
	var running sync.WaitGroup
	running.Go(func() { n.nodes.run(ctx) })
	running.Go(func() { n.directory.Follow(ctx, n.registry) })
	n.neighbour = &neighbour{registry: n.registry, id: n.id, log: n.log}
	running.Go(func() { n.neighbour.run(ctx) })
	n.began("look-out for other nodes", func(context.Context) error { cancel(); running.Wait(); return nil })
	if n.listener, err = net.Listen("tcp", f.RPCListen); err != nil {
		return n, fmt.Errorf("cannot listen for other nodes: %w (choose another address with --rpc-listen)", err)
	}
	n.began("listener for other nodes", func(context.Context) error { // closed by the server, once there is one
		if err := n.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	if n.address, err = f.advertised(n.listener.Addr()); err != nil {
		return n, err
	}
	if err := checkOthers(starting, n.registry.View(), n.address, n.log); err != nil {
		return n, err
	}
	return n, proveAddress(starting, n.listener.(*net.TCPListener), n.address)
}

// advertised gives the address at which other nodes reach a listener.
func (f *nodeFlags) advertised(at net.Addr) (string, error) {
	if f.RPCAdvertise == "" {
		if a, ok := at.(*net.TCPAddr); ok && a.IP.IsUnspecified() {
			return "", fmt.Errorf("--rpc-listen %s is no address that other nodes could reach: say with --rpc-advertise which one is", f.RPCListen)
		}
		return at.String(), nil
	}
	host, port, err := net.SplitHostPort(f.RPCAdvertise)
	if err != nil {
		return "", fmt.Errorf("--rpc-advertise: %w", err)
	}
	if port == "0" { // that of the listener
		_, port, _ = net.SplitHostPort(at.String())
	}
	address := net.JoinHostPort(host, port)
	if err := hostport.Check(address); err != nil {
		return "", fmt.Errorf("--rpc-advertise: %w", err)
	}
	return address, nil
}

// planPause is between two looks for a plan that is not there yet.
const planPause = 250 * time.Millisecond

// awaitPlan waits for the plan of the cluster, which logic nodes make.
func (n *node) awaitPlan(ctx context.Context, name string) error {
	near := clusterredis.Copy{Client: n.client, Name: name}
	for said := false; ; {
		plan, err := near.Load(ctx)
		if err != nil {
			return err
		}
		if plan != nil {
			n.plan = plan
			return nil
		}
		if !said {
			said = true
			n.log.Info("this cluster has no plan yet, or Redis lost it: waiting for a logic node", "cluster", name)
		}
		if operate.Pause(ctx, planPause) != nil {
			return context.Cause(ctx)
		}
	}
}

// registration is what the node enters in the registry.
func (n *node) registration(clients string) registry.Node {
	r := registry.Node{ID: n.id, Role: n.role, Addresses: map[string]string{registry.RPC: n.address}, Keys: n.keys}
	if clients != "" {
		r.Addresses[clientsAddress] = clients
	}
	if n.debug != nil {
		r.Addresses["debug"] = n.debug.Address()
	}
	return r
}

// register registers the node and keeps it registered until it stops. It returns once the node is
// registered for the first time.
func (n *node) register(ctx context.Context) (*registry.Keeper, error) {
	keeper := registry.NewKeeper(n.registry, n.registration(""), n.log)
	if n.role == registry.Logic {
		keeper.JoinFor(joinPause)
	}
	run, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	registered := make(chan struct{})
	var once sync.Once
	running.Go(func() { keeper.Run(run, func(registry.Registration) { once.Do(func() { close(registered) }) }) })
	n.began("registration", func(context.Context) error { cancel(); running.Wait(); return nil })
	select {
	case <-registered:
		return keeper, nil
	case <-ctx.Done():
		return keeper, context.Cause(ctx)
	}
}

// saw takes in that a record of a queue names a view of the registry.
func (n *node) saw(version uint64) {
	n.registry.Saw(version)
	n.nodes.newer(version)
}

// ready says why this node should get no work, if so.
func (n *node) ready() error {
	switch {
	case n.stopping.Load():
		return errors.New("stopping")
	case !n.serving.Load():
		return errors.New("starting")
	}
	return nil
}

// watch starts the debug endpoint, if there is to be one.
func (n *node) watch(f *processFlags, from operate.Sources) (err error) {
	if f.Debug == "" {
		return nil
	}
	vars := from.Vars
	from.Vars = func() map[string]any {
		all := vars()
		all["registry"], all["directory"], all["neighbour"] = n.registry.Vars(), n.directory.Vars(), n.neighbour.vars()
		return all
	}
	from.Version, from.Ready, from.Log = version(), n.ready, n.log
	n.debug, err = operate.Start(f.Debug, from)
	return err
}

// runNode starts a node, and stops it when ctx ends.
func (f *nodeFlags) runNode(ctx context.Context, start func(context.Context, *slog.Logger) (*node, error), said func(*node) string, where func(*node) ready) error {
	log, err := f.logger(os.Stderr)
	if err != nil {
		return err
	}
	slog.SetDefault(log)
	n, err := start(ctx, log)
	if err != nil {
		_ = n.stop() // what began is in order; why the start failed is what counts
		if ctx.Err() != nil {
			fmt.Println("stopped before the start was complete")
			return nil
		}
		return err
	}
	n.serving.Store(true)
	fmt.Println(said(n))
	if f.ReadyFile != "" {
		if err := where(n).write(f.ReadyFile, n.debug); err != nil {
			_ = n.stop()
			return err
		}
	}
	<-ctx.Done()
	fmt.Println("stopping")
	if f.ReadyFile != "" {
		_ = os.Remove(f.ReadyFile) // nobody shall take this node for one that is ready
	}
	time.AfterFunc(exitTimeout, func() { fail(errors.New("stopping took too long, what was under way is cut off")) })
	return n.stop()
}
