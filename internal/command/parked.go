package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"gannet/idl/rpc"
	"gannet/internal/chain"
	directoryredis "gannet/internal/directory/redis"
	"gannet/internal/hop"
	"gannet/internal/redis"
	"gannet/internal/registry"
	registryredis "gannet/internal/registry/redis"
	"gannet/transfer"
	"gannet/transfer/cluster/parked"
)

type parkedCmd struct {
	List  parkedListCmd  `cmd:"" help:"List them."`
	Retry parkedRetryCmd `cmd:"" help:"Handle them once more; what goes well is forgotten."`
}

// parkedIn says where records are parked.
type parkedIn struct {
	Redis   []string `required:"" placeholder:"HOST:PORT,..." help:"Redis of the cluster: one server, or several members of a Redis Cluster."`
	Cluster string   `default:"gannet" placeholder:"NAME" help:"Name of the cluster."`
	Queues  int      `default:"16" placeholder:"N" help:"Queues of each class that the cluster has."`
}

// classes are those that transfer reads.
var classes = []chain.Class{chain.Chat, chain.System}

// open connects to Redis.
func (p *parkedIn) open() (*redis.Client, *parked.Store, error) {
	if p.Queues < 1 {
		return nil, nil, fmt.Errorf("--queues %d: there is at least one", p.Queues)
	}
	client, err := redis.New(redis.Options{Addresses: p.Redis})
	if err != nil {
		return nil, nil, err
	}
	return client, parked.New(client, p.Cluster), nil
}

type parkedListCmd struct{ parkedIn }

// Run lists parked records.
func (c *parkedListCmd) Run(ctx context.Context) error { return c.list(ctx, os.Stdout) }

func (c *parkedListCmd) list(ctx context.Context, out io.Writer) error {
	client, store, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	var wrong []error
	n := 0
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, class := range classes {
		for queue := range c.Queues {
			list, err := store.List(ctx, chain.Queue{Class: class, Number: queue})
			wrong = append(wrong, err)
			for i := range list {
				if n++; n == 1 {
					fmt.Fprintln(w, "queue\toffset\tmade\tparked\ttries\tentries\tbytes\treason")
				}
				describeParked(w, &list[i])
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n == 0 && errors.Join(wrong...) == nil {
		fmt.Fprintln(out, "nothing is parked")
	}
	return errors.Join(wrong...)
}

// describeParked writes a line about a record.
func describeParked(w io.Writer, p *parked.Record) {
	entries := "?"
	var r hop.Record
	if p.Hop(&r) == nil {
		entries = fmt.Sprint(len(r.Entries))
	}
	made := time.UnixMilli(int64(p.Time)).Format(time.DateTime)
	fmt.Fprintf(w, "%v %d\t%d\t%s\t%s\t%d\t%s\t%d\t%s\n", p.Queue.Class, p.Queue.Number, p.Mark.Offset, made, p.Parked.Format(time.DateTime), p.Tries, entries, len(p.Body), p.Reason)
}

type parkedRetryCmd struct {
	parkedIn
	Wait time.Duration `default:"30s" placeholder:"DURATION" help:"How long gateways may take."`
}

// Run handles parked records once more.
func (c *parkedRetryCmd) Run(ctx context.Context) error { return c.retry(ctx, os.Stdout) }

func (c *parkedRetryCmd) retry(ctx context.Context, out io.Writer) error {
	client, store, err := c.open()
	if err != nil {
		return err
	}
	defer client.Close()
	r, err := registryredis.Open(ctx, client, registryredis.Options{Prefix: c.Cluster})
	if err != nil {
		return err
	}
	defer r.Close()
	gateways := rpc.NewGateways(registry.Epochs{Registry: r}, slog.Default())
	defer gateways.Close()
	devices := directoryredis.New(client, directoryredis.Options{Prefix: c.Cluster, Ended: r.Ended})
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	var all parked.Outcome
	for _, class := range classes {
		outcome, err := c.replay(ctx, store, class, devices, gateways)
		all.Handled, all.Again, all.Err = all.Handled+outcome.Handled, all.Again+outcome.Again, errors.Join(all.Err, outcome.Err)
		if err != nil {
			all.Err = errors.Join(all.Err, fmt.Errorf("not everything was handled, and the rest stays parked: %w", err))
			break
		}
	}
	fmt.Fprintf(out, "%d records were handled and are forgotten, %d are parked again\n", all.Handled, all.Again)
	return all.Err
}

// replay handles the records of a class.
func (c *parkedRetryCmd) replay(ctx context.Context, store *parked.Store, class chain.Class, devices transfer.Directory, gateways transfer.Gateways) (parked.Outcome, error) {
	replay := store.Replay(class, c.Queues)
	config := transfer.Config{Queue: replay, Directory: devices, Gateways: gateways, Parking: replay}
	for queue := range c.Queues {
		config.Queues = append(config.Queues, queue)
	}
	server := transfer.Start(config)
	defer server.Stop()
	return replay.Wait(ctx)
}
