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
	Drop  parkedDropCmd  `cmd:"" help:"Forget one of them, which then nobody is pushed."`
}

// parkedIn says where records are parked.
type parkedIn struct {
	clusterFlags `embed:""`
}

// classes are those that transfer reads.
var classes = []chain.Class{chain.Chat, chain.System}

// open connects to the cluster, and gives the number of queues of each class.
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
			list, unreadable, err := store.List(ctx, chain.Queue{Class: class, Number: queue})
			wrong = append(wrong, err)
			if n == 0 && len(list)+len(unreadable) > 0 {
				fmt.Fprintln(w, "queue\toffset\tmade\tparked\ttries\tentries\tbytes\treason")
			}
			n += len(list) + len(unreadable)
			for i := range list {
				describeParked(w, &list[i])
			}
			for _, u := range unreadable {
				fmt.Fprintf(w, "%v %d\t%s\t?\t?\t?\t?\t%d\tit cannot be read\n", class, queue, u.Name(), u.Bytes)
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
	fmt.Fprintf(w, "%v %d\t%s\t%s\t%s\t%d\t%s\t%d\t%s\n", p.Queue.Class, p.Queue.Number, p.Name(), parkedMade(p), p.Parked.Format(time.DateTime), p.Tries, parkedEntries(p), len(p.Body), p.Reason)
}

// parkedEntries gives how many entries a record has.
func parkedEntries(p *parked.Record) string {
	var r hop.Record
	if p.Hop(&r) != nil {
		return "?"
	}
	return fmt.Sprint(len(r.Entries))
}

// parkedMade gives when a record was made.
func parkedMade(p *parked.Record) string {
	return time.UnixMilli(int64(p.Time)).Format(time.DateTime)
}

type parkedRetryCmd struct {
	parkedIn
	Wait time.Duration `default:"30s" placeholder:"DURATION" help:"How long gateways may take."`
}

// leastWait is the least --wait: with less no gateway could answer, and every record would be
// parked again.
const leastWait = time.Second

// Validate refuses settings that cannot be meant.
func (c *parkedRetryCmd) Validate() error {
	if c.Wait < leastWait {
		return fmt.Errorf("--wait %v: it is at least %v, because gateways need time for an answer", c.Wait, leastWait)
	}
	return c.clusterFlags.Validate()
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
		all.Handled, all.Again, all.Err = all.Handled+outcome.Handled, append(all.Again, outcome.Again...), errors.Join(all.Err, outcome.Err)
		if err != nil {
			all.Err = errors.Join(all.Err, fmt.Errorf("not everything was handled, and the rest stays parked: %w", err))
			break
		}
	}
	fmt.Fprintf(out, "%d records were handled and are forgotten, %d are parked again\n", all.Handled, len(all.Again))
	for i := range all.Again {
		p := &all.Again[i]
		fmt.Fprintf(out, "%v, %s: parked again: %s\n", p.Queue, p.Name(), p.Reason)
	}
	if n := len(all.Again); n > 0 {
		all.Err = errors.Join(all.Err, fmt.Errorf("%d records are parked again", n))
	}
	return all.Err
}

// replay handles the records of a class.
func (c *parkedRetryCmd) replay(ctx context.Context, store *parked.Store, class chain.Class, queues int, devices transfer.Directory, gateways transfer.Gateways) (parked.Outcome, error) {
	replay := store.Replay(class, queues)
	server := transfer.Start(transfer.Config{Queue: replay, Directory: devices, Gateways: gateways, Parking: replay, Queues: numbers(queues)})
	defer server.Stop()
	return replay.Wait(ctx)
}

type parkedDropCmd struct {
	Class  string `arg:"" enum:"chat,system" help:"Class of its queue: chat or system."`
	Queue  int    `arg:"" help:"Number of its queue."`
	Offset string `arg:"" help:"Its offset, as list says it."`

	parkedIn
}

// Help is printed by gannet parked drop --help.
func (parkedDropCmd) Help() string {
	return "Forgets a parked record, whether it can be read or not, and says what it was. Nobody is pushed what stands in it any more; its messages are in the history, and devices find them by SYNC."
}

// Run forgets a parked record.
func (c *parkedDropCmd) Run(ctx context.Context) error { return c.drop(ctx, os.Stdout) }

func (c *parkedDropCmd) drop(ctx context.Context, out io.Writer) error {
	l, store, queues, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	queue := chain.Queue{Class: chain.Chat, Number: c.Queue}
	if c.Class == chain.System.String() {
		queue.Class = chain.System
	}
	if c.Queue < 0 || c.Queue >= queues {
		return fmt.Errorf("there is no %v: the cluster has %d of each class", queue, queues)
	}
	list, unreadable, err := store.Drop(ctx, queue, c.Offset)
	if err != nil {
		return err
	}
	if len(list)+len(unreadable) == 0 {
		return fmt.Errorf("nothing of %v is parked under %s (`gannet parked list` says what is)", queue, c.Offset)
	}
	const lost = "nobody is pushed that any more, and devices find its messages by SYNC"
	for i := range list {
		p := &list[i]
		fmt.Fprintf(out, "%v, %s: dropped, with %s entries made at %s, which were parked for this: %s; %s\n", queue, p.Name(), parkedEntries(p), parkedMade(p), p.Reason, lost)
	}
	for _, u := range unreadable {
		fmt.Fprintf(out, "%v, %s: dropped, %d bytes that could not be read; %s\n", queue, u.Name(), u.Bytes, lost)
	}
	return nil
}
