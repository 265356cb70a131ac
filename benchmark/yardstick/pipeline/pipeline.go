// Package pipeline is the yardstick for a cluster: the least that a message needs on its
// way through one. A gateway (netpoll) has one call for each queue under way to logic
// (Kitex), which makes one record of all that waits (RocketMQ) and runs one script of
// Redis for it; transfer pulls the records and pushes them to the gateways. There are no
// sessions, tokens, dedupe, chain, look-ups, receipts or history, and nothing survives a
// failure: a process that cannot go on ends.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/cloudwego/kitex/client"
	"github.com/cloudwego/kitex/pkg/connpool"
	"github.com/cloudwego/kitex/pkg/klog"
	"github.com/cloudwego/kitex/pkg/remote/trans/gonet"
	"github.com/cloudwego/kitex/server"
	"github.com/cloudwego/kitex/transport"

	"gannet/benchmark/process"
	"gannet/benchmark/yardstick/pipeline/kitex_gen/hop"
	"gannet/benchmark/yardstick/pipeline/kitex_gen/hop/pipe"
)

//go:generate go tool kitex -module gannet -gen-path kitex_gen idl/hop.thrift

// callPatience is how long a call between processes may take.
const callPatience = 10 * time.Second

// Process is one process of the pipeline. Its fields are flags.
type Process struct {
	Role      string   `enum:"gateway,logic,transfer" required:"" help:"What it is."`
	ReadyFile string   `required:"" help:"Where to write its addresses: listen for clients, debug for the calls of the others."`
	Peers     []string `help:"Of a gateway: the calls of logic; of transfer: those of each gateway."`
	Queues    int      `default:"4" help:"How many queues."`
	RecordKB  int      `name:"record-kb" default:"64" help:"KiB of a record at most."`
	Redis     string   `help:"Address of Redis."`
	Rocketmq  string   `help:"Address of a name server."`
	Broker    string   `help:"Address of the broker."`
	Topic     string   `help:"Topic of the records; logic makes it."`
}

// Run is that process until ctx is done.
func (p *Process) Run(ctx context.Context, _, _ io.Writer) error {
	switch p.Role {
	case "gateway":
		return p.gateway(ctx)
	case "logic":
		return p.logic(ctx)
	default:
		return p.transfer(ctx)
	}
}

// calls serves the calls of the other processes, by package net: netpoll has its pollers
// run the handlers of clients' connections, and a call must not wait there.
func calls(h hop.Pipe, failed chan<- error) (address string, stop func() error, err error) {
	klog.SetLevel(klog.LevelFatal) // it tells of every server that starts
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("benchmark: %w", err)
	}
	s := pipe.NewServer(h, server.WithListener(listener),
		server.WithTransServerFactory(gonet.NewTransServerFactory()), server.WithTransHandlerFactory(gonet.NewSvrTransHandlerFactory()),
		server.WithExitSignal(func() <-chan error { return nil }))
	go func() {
		failed <- errors.Join(errors.New("benchmark: calls are not served any more"), s.Run())
	}()
	return listener.Addr().String(), s.Stop, nil
}

// peer connects to the calls of another process.
func peer(address string) (pipe.Client, error) {
	c, err := pipe.NewClient("pipe", client.WithHostPorts(address), client.WithRPCTimeout(callPatience),
		client.WithTransportProtocol(transport.Framed),
		client.WithTransHandlerFactory(gonet.NewCliTransHandlerFactory()), client.WithDialer(gonet.NewDialer()),
		client.WithLongConnection(connpool.IdleConfig{MaxIdlePerAddress: 32, MaxIdleGlobal: 64, MaxIdleTimeout: time.Minute}))
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	return c, nil
}

// wait says where the calls are served, and waits for the end.
func (p *Process) wait(ctx context.Context, address string, failed <-chan error) error {
	if err := process.WriteReady(p.ReadyFile, process.Ready{Debug: address, PID: os.Getpid()}); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// each calls do for each frame of a batch and its user.
func each(b *hop.Batch, do func(user uint64, frame []byte) error) error {
	start := int32(0)
	for i, end := range b.Ends {
		if err := do(uint64(b.Users[i]), b.Frames[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// add adds a frame to a batch.
func add(b *hop.Batch, user uint64, frame []byte) {
	b.Frames = append(b.Frames, frame...)
	b.Users = append(b.Users, int64(user))
	b.Ends = append(b.Ends, int32(len(b.Frames)))
}
