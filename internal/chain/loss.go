package chain

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"gannet/internal/operate"
)

// covers says whether h is a Loss that stands in for the record of the mark, which is lost. A
// follower that has taken the Loss at Through in has a mark at Through or behind it. So a late or
// repeated Loss covers nothing for it.
func (h *Head) covers(queue Queue, mark Mark) bool {
	return h.Kind == Loss && h.Queue == queue && mark.Offset < h.Through
}

// GivenUp describes what an operator gives up: all records before the offset Through that the
// queue does not have.
//
// The same record (a Loss) is written to every offset from the end of the queue up to Through. So
// each mark that names a lost record finds a Loss at its offset, and a reader that begins there
// takes the Losses in one after the other. The last one lies at Through and has the mark that
// Mark gives; every reader goes on from there.
//
// Before the first of these records is written, a writer that still builds on lost records must
// be kept from acking. So the caller sets the mark of the queue's view to Mark before it calls
// Write.
type GivenUp struct {
	Queue    Queue
	Writer   uint64 // random, even and never 0
	Registry uint64 // version of the registry's view
	Time     uint64 // Unix milliseconds
	Through  int64  // above every mark that anybody has

	at    int // records on their way at once, 0: fillers
	pause func(ctx context.Context, d time.Duration) error
}

// NewGivenUp gives up everything before the offset through. Its writer id is even, while the ids
// of Writers are odd.
func NewGivenUp(queue Queue, registry uint64, now time.Time, through int64) *GivenUp {
	return &GivenUp{Queue: queue, Writer: max(rand.Uint64()&^1, 2), Registry: registry, Time: uint64(now.UnixMilli()), Through: through}
}

// Given says whether the mark is that of a Loss, which only a GivenUp writes.
func (m Mark) Given() bool { return m.Offset >= 0 && m.Writer&1 == 0 }

// Mark is that of the record at Through.
func (g *GivenUp) Mark() Mark { return Mark{Offset: g.Through, Writer: g.Writer, Number: 1} }

// fillers is how many records of a loss are on their way at once.
const fillers = 8

// ErrBeside says that another record lies at Through, where the last Loss should be. The operator
// must give the loss up again, with a higher Through.
var ErrBeside = errors.New("chain: another record lies where the loss should end")

// triesOfLoss is after how many failed appends in a row Write gives up.
const triesOfLoss = 10

// Write writes the records of a loss and reports the highest offset written so far to progress.
// It may be called again, by anybody, with the same GivenUp or another one: more of these records
// do no harm.
func (g *GivenUp) Write(ctx context.Context, stream Stream, progress func(offset int64)) error {
	head := Head{Kind: Loss, Queue: g.Queue, Prev: Beginning, Writer: g.Writer, Number: 1, Registry: g.Registry, Time: g.Time, Through: g.Through}
	body := head.Append(nil, nil)
	var mu sync.Mutex
	var failed error
	highest := int64(-1)
	over := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return failed != nil || highest >= g.Through
	}
	fill := func() {
		for tries := 0; !over(); {
			offset, err := stream.Append(ctx, g.Queue, body)
			mu.Lock()
			switch {
			case err == nil:
				tries = 0
				if offset > highest {
					highest = offset
					progress(offset)
				}
			case ctx.Err() != nil || tries == triesOfLoss:
				failed = err
			default:
				tries++
			}
			mu.Unlock()
		}
	}
	_, end, err := stream.Bounds(ctx, g.Queue)
	if err != nil {
		return err
	}
	if g.at == 1 {
		fill()
	} else {
		var all sync.WaitGroup
		for range min(fillers, max(g.Through-end, 1)) {
			all.Go(fill)
		}
		all.Wait()
	}
	if failed != nil {
		return failed
	}
	return g.Written(ctx, stream)
}

// Written returns nil if the record of Mark is in the queue. That record is durable if any record
// behind it is durable.
func (g *GivenUp) Written(ctx context.Context, stream Stream) error {
	rest := g.pause
	if rest == nil {
		rest = operate.Pause
	}
	for {
		err := Back(ctx, stream, g.Queue, g.Mark(), func(*Record) bool { return false })
		switch {
		case errors.Is(err, ErrLost):
			return fmt.Errorf("%w: %v at offset %d", ErrBeside, g.Queue, g.Through)
		case !errors.Is(err, ErrLagging):
			return err
		}
		if err := rest(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}
