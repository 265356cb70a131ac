package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cloudwego/kitex/client"

	"gannet/idl/kitex_gen/gannet"
	"gannet/internal/operate"
)

// Times of a call.
const (
	// tryTimeout is how long one node may take for a call. callTimeout bounds a call with all its
	// tries.
	tryTimeout  = time.Second
	callTimeout = 3 * time.Second

	// retryPause is how long a call waits before its second try. The pause doubles up to
	// retryPauseMost; in this time the registry learns of dead nodes.
	retryPause     = 20 * time.Millisecond
	retryPauseMost = 320 * time.Millisecond
)

// Errors of a call. After each of them the call may or may not have been carried out.
var (
	errClosed   = errors.New("rpc: the client is closed")
	errNobody   = errors.New("rpc: no node of the role is known")
	errNoReply  = errors.New("rpc: a node sent an answer without content")
	errStatus   = errors.New("rpc: a node could not answer")
	errRefused  = errors.New("rpc: a node refuses what it was asked")
	errOther    = errors.New("rpc: the node at the address lives another life")
	errPanicked = errors.New("rpc: a call panicked")
	errMoved    = errors.New("rpc: another node has the queue")
	errAnswer   = errors.New("rpc: an answer makes no sense")
)

// calls makes calls to the nodes of a role.
type calls[C any] struct {
	name   string
	log    *slog.Logger
	peers  *peers[C]
	budget *budget
	try    time.Duration // tryTimeout, but for tests

	made     atomic.Uint64   // tries
	moved    atomic.Uint64   // answers that name another node
	payloads operate.Trouble // bytes that are no answer
	failed   operate.Trouble // tries without an answer
	given    operate.Trouble // calls that were given up
	spent    operate.Trouble // calls that were given up because the budget was spent
	hostile  operate.Trouble // answers that are invalid
}

func newCalls[C any](name string, log *slog.Logger, dial func(string, ...client.Option) (C, error)) *calls[C] {
	if log == nil {
		log = slog.Default()
	}
	c := &calls[C]{name: name, log: log, budget: newBudget(time.Now()), try: tryTimeout}
	c.peers = newPeers(dial, &c.payloads)
	return c
}

// stats gives the counters; they rise from the start of the process, but for "nodes",
// which is how many have a client.
func (c *calls[C]) stats() map[string]uint64 {
	return map[string]uint64{
		"nodes":           uint64(c.peers.len()),
		"calls":           c.made.Load(),
		"moved":           c.moved.Load(),
		"failed.try":      c.failed.Times(),
		"failed.call":     c.given.Times(),
		"failed.budget":   c.spent.Times(),
		"hostile.answer":  c.hostile.Times(),
		"hostile.payload": c.payloads.Times(),
	}
}

// once makes one try at a node. The context that call gets ends only with the deadline of the
// connection, so nothing of the try goes on when once has returned.
func (c *calls[C]) once(ctx context.Context, address string, ends time.Time, call func(ctx context.Context, client C) error) (err error) {
	n, err := c.peers.take(address)
	if err != nil {
		return err
	}
	defer c.peers.give(n)
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errPanicked, cause)
		}
	}()
	c.made.Add(1)
	if err = call(&tryContext{Context: ctx, ends: ends}, n.client); err == nil {
		c.budget.earn()
	}
	return err
}

// failure counts a try that failed.
func (c *calls[C]) failure(address string, err error) {
	if errors.Is(err, errMoved) {
		c.moved.Add(1)
		return
	}
	trouble, what := &c.failed, "rpc: a call failed"
	if errors.Is(err, errAnswer) || errors.Is(err, errNoReply) {
		trouble, what = &c.hostile, "rpc: an answer makes no sense"
	}
	if trouble.Note() {
		c.log.Warn(what, "to", c.name, "address", address, "error", err)
	}
}

// route says where the next try goes; ok is false while nobody is known.
type route func(try int) (address string, ok bool)

// call tries until a node answers, the time or the budget is used up, or ctx ends. Use it only
// for calls that are safe to repeat. It does not repeat after errClosed or errRefused.
func (c *calls[C]) call(ctx context.Context, to route, try func(ctx context.Context, client C) error) error {
	over := time.Now().Add(callTimeout)
	pause := retryPause
	told := false // a node has named another one, which is tried at once, without pause
	for i := 0; ; i++ {
		err := errNobody
		if address, ok := to(i); ok {
			ends := time.Now().Add(c.try)
			if ends.After(over) {
				ends = over
			}
			if err = c.once(ctx, address, ends, try); err == nil {
				return nil
			}
			c.failure(address, err)
		}
		if errors.Is(err, errMoved) && !told && ctx.Err() == nil {
			told = true
			continue
		}
		if !c.again(ctx, err, pause, over) {
			return fmt.Errorf("rpc: %s: %w", c.name, err)
		}
		if operate.Pause(ctx, pause) != nil {
			return fmt.Errorf("rpc: %s: %w", c.name, ctx.Err())
		}
		pause = min(2*pause, retryPauseMost)
	}
}

// again says whether to repeat a failed call.
func (c *calls[C]) again(ctx context.Context, err error, pause time.Duration, over time.Time) bool {
	now := time.Now()
	if ctx.Err() == nil && !errors.Is(err, errClosed) && !errors.Is(err, errRefused) && now.Add(pause).Before(over) {
		if c.budget.spend(now) {
			return true
		}
		c.spent.Count()
	}
	c.given.Count()
	return false
}

// meaning gives the error that a status means, nil for gannet.OK.
func meaning(status int32) error {
	switch status {
	case gannet.OK:
		return nil
	case gannet.REFUSED:
		return errRefused
	case gannet.OTHER:
		return errOther
	default: // a newer node may have others
		return fmt.Errorf("%w (%d)", errStatus, status)
	}
}
