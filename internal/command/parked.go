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
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/hop"
	"gannet/internal/registry"
	"gannet/transfer"
	"gannet/transfer/cluster/parked"
)

type parkedCmd struct {
	List  parkedListCmd  `cmd:"" help:"List them."`
	Retry parkedRetryCmd `cmd:"" help:"Handle them once more; what goes well is forgotten."`
}

// parkedIn says where records are parked.
type parkedIn struct {
	clusterFlags `embed:""`
}

// classes are those that transfer reads.
var classes = []chain.Class{chain.Chat, chain.System}

// open connects to what is there now, and gives the queues of each class too.
func (p *parkedIn) open(ctx context.Context) (l *live, store *parked.Store, queues int, err error) {
	l, err = p.openLive(ctx, slog.Default())
	if err != nil {
		return nil, nil, 0, err
	}
	plan, err := clusterredis.Copy{Client: l.client, Name: p.Cluster}.Load(ctx)
	if err == nil && plan == nil {
		err = errNoPlan
	}
	if err != nil {
		l.close()
		return nil, nil, 0, err
	}
	return l, parked.New(l.client, p.Cluster), len(plan.Chat), nil
}

// errNoPlan says that there is no cluster.
var errNoPlan = errors.New("no cluster of this name was made in this Redis (--cluster and --redis say which)")

type parkedListCmd struct{ parkedIn }

// Run lists parked records.
func (c *parkedListCmd) Run(ctx context.Context) error { return c.list(ctx, os.Stdout) }

func (c *parkedListCmd) list(ctx context.Context, out io.Writer) error {
	l, store, queues, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	var wrong []error
	n := 0
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, class := range classes {
		for queue := range queues {
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
	l, store, queues, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	gateways := rpc.NewGateways(registry.Epochs{Registry: l.registry}, slog.Default())
	defer gateways.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	var all parked.Outcome
	for _, class := range classes {
		outcome, err := c.replay(ctx, store, class, queues, l.directory, gateways)
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
func (c *parkedRetryCmd) replay(ctx context.Context, store *parked.Store, class chain.Class, queues int, devices transfer.Directory, gateways transfer.Gateways) (parked.Outcome, error) {
	replay := store.Replay(class, queues)
	server := transfer.Start(transfer.Config{Queue: replay, Directory: devices, Gateways: gateways, Parking: replay, Queues: numbers(queues)})
	defer server.Stop()
	return replay.Wait(ctx)
}
