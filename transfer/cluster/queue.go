package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/internal/redis"
	"gannet/internal/registry"
	"gannet/transfer"
	"gannet/transfer/cluster/parked"
)

// Options say what a Queue works with. All but Now and Log are required.
type Options struct {
	Name     string // of the cluster, as its view has it
	Class    chain.Class
	Stream   chain.Stream
	Redis    *redis.Client
	Registry registry.Registry
	Node     uint64            // id of this node in the registry, where its role is transfer
	Gateways transfer.Gateways // to hint everybody after a mark or records are lost

	Now func() time.Time // nil: the time of day
	Log *slog.Logger
}

// Queue is transfer's Queue, and its Parking, for the queues of one class.
type Queue struct {
	class   chain.Class
	stream  chain.Stream
	state   state
	share   share
	hints   hints
	parking *parked.Store
	owed    owed
	now     func() time.Time
	log     *slog.Logger
	counts  counts

	mu        sync.Mutex
	followers map[int]*follower
	failing   map[int]failing   // queues that could not be followed
	unread    map[int]time.Time // queues of this node's share without a follower, and since when
}

var (
	_ transfer.Queue     = (*Queue)(nil)
	_ transfer.Parking   = (*Queue)(nil)
	_ transfer.Directory = (*Directory)(nil)
)

// New makes a Queue.
func New(o Options) (*Queue, error) {
	if o.Name == "" || o.Stream == nil || o.Redis == nil || o.Registry == nil || o.Node == 0 || o.Gateways == nil {
		return nil, errors.New("transfer: a queue needs the name of its cluster, a broker, Redis, the registry with an id in it, and gateways")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Queue{
		class: o.Class, stream: o.Stream, now: o.Now, log: o.Log, followers: make(map[int]*follower), failing: make(map[int]failing), unread: make(map[int]time.Time),
		state:   state{client: o.Redis, name: o.Name},
		share:   share{registry: o.Registry, node: o.Node},
		hints:   hints{gateways: o.Gateways, registry: o.Registry},
		parking: parked.New(o.Redis, o.Name),
	}, nil
}

// Follow implements transfer.Queue. It waits while the queue is another node's.
func (q *Queue) Follow(ctx context.Context, queue int, take take) error {
	name := chain.Queue{Class: q.class, Number: queue}
	if !name.Valid() {
		return fmt.Errorf("transfer: there can be no %v", name)
	}
	for {
		if mine, _ := q.share.mine(name); !mine {
			q.setUnread(queue, false)
		}
		within, cancel, err := q.share.await(ctx, name)
		if err != nil {
			return err
		}
		q.setUnread(queue, true)
		err = q.follow(within, name, take)
		over := within.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !over:
			q.failed(queue, err)
			return err
		}
		q.counts.lost.Add(1)
	}
}

// follow reads a queue as long as it is this node's.
func (q *Queue) follow(ctx context.Context, name chain.Queue, take take) error {
	f, err := q.begin(ctx, name, take)
	if err != nil {
		return err
	}
	if err := q.enter(f); err != nil {
		return err
	}
	k := q.keep(f)
	defer k.end()
	defer q.leave(f)
	return f.run(ctx)
}

func (q *Queue) enter(f *follower) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.followers[f.name.Number] != nil {
		return fmt.Errorf("transfer: %v has a follower in this process already", f.name)
	}
	q.followers[f.name.Number] = f
	delete(q.unread, f.name.Number)
	return nil
}

func (q *Queue) leave(f *follower) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.followers, f.name.Number)
	q.unread[f.name.Number] = q.now()
}

// Park implements transfer.Parking. A record of a follower that has ended comes again.
func (q *Queue) Park(queue int, mark uint64, reason string) {
	q.mu.Lock()
	f := q.followers[queue]
	q.mu.Unlock()
	if f != nil {
		f.undone.park(int64(mark)-1, reason)
	}
}

// parkedOne counts and logs a record that was parked, or could not be kept.
func (q *Queue) parkedOne(r *parked.Record, kept bool) {
	trouble, what := &q.counts.parked, "transfer: a record could not be handled and is parked"
	if !kept {
		trouble, what = &q.counts.dropped, "transfer: a record could not be handled, and too many are parked to keep it"
	}
	if trouble.Note() {
		q.log.Error(what, "queue", r.Queue, "mark", r.Mark, "reason", r.Reason)
	}
}

const reasons = int(chain.Other) + 1

// counts are a Queue's counters.
type counts struct {
	records, empty, pulls, looks, waits, saves, lost                  atomic.Uint64
	voided                                                            [reasons]atomic.Uint64
	failedPull, failedRedis, failedSave, failedLag, torn, unconfirmed operate.Trouble
	refused, hinted, parked, dropped, givenUp                         operate.Trouble
}

// pulled gives the stream for followers. It counts their pulls.
func (q *Queue) pulled() chain.Stream { return pulled{q.stream, &q.counts.pulls} }

type pulled struct {
	chain.Stream
	times *atomic.Uint64
}

func (p pulled) Pull(ctx context.Context, queue chain.Queue, from int64, limit int) ([]chain.Stored, error) {
	p.times.Add(1)
	return p.Stream.Pull(ctx, queue, from, limit)
}

// void adds up the records that did not count, from their numbers before and now.
func (c *counts) void(before, now [reasons]uint64) {
	for r := range now {
		c.voided[r].Add(now[r] - before[r])
	}
}

// Vars gives every counter by name. Counters rise from the start of the process, except two:
// "queues" is how many queues are read here now, and "undone" is how many of their records were
// handed over and are not done.
func (q *Queue) Vars() map[string]uint64 {
	c := &q.counts
	vars := map[string]uint64{
		"records": c.records.Load(), "empty": c.empty.Load(), "pulls": c.pulls.Load(), "saves": c.saves.Load(),
		"view.looks": c.looks.Load(), "view.waits": c.waits.Load(), "lost": c.lost.Load(),
		"failed.pull": c.failedPull.Times(), "failed.redis": c.failedRedis.Times(), "failed.save": c.failedSave.Times(), "failed.lag": c.failedLag.Times(),
		"failed.hint": q.hints.failed.Times(), "hinted": c.hinted.Times(), "unconfirmed": c.unconfirmed.Times(),
		"torn": c.torn.Times(), "given_up.losses": c.givenUp.Times(), "refused.retention": c.refused.Times(),
		"parked": c.parked.Times(), "drop.parked": c.dropped.Times(),
	}
	for r := chain.Stale; r <= chain.Other; r++ {
		vars["void."+r.String()] = c.voided[r].Load()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	vars["queues"] = uint64(len(q.followers))
	for _, f := range q.followers {
		vars["undone"] += uint64(f.undone.len())
	}
	return vars
}
