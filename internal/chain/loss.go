package chain

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// covers says whether h is a Loss that stands for a record of the queue which is not there.
// One that was taken in lies at its Through or behind it as soon as all are written, so a
// late or doubled one stands for nothing any more.
func (h *Head) covers(queue Queue, mark Mark) bool {
	return h.Kind == Loss && h.Queue == queue && mark.Offset < h.Through
}

// GivenUp is what an operator gives up: all that the queue does not have before an offset.
//
// Every offset from the end of the queue up to Through gets the same record, so that each
// mark that names something lost finds one at its place, and whoever comes from before takes
// them in one after the other. The last of them lies at Through, has the mark Given, and is
// what everybody goes on from.
//
// Whoever writes the queue on what is lost must be kept from acking anything before the
// first record is written: the view of the queue is set to Given by then.
type GivenUp struct {
	Queue    Queue
	Writer   uint64 // random, even and never 0
	Registry uint64 // version of the registry's view
	Time     uint64 // Unix milliseconds
	Through  int64  // above every mark that anybody has

	at    int // records on their way at once, 0: fillers
	pause func(ctx context.Context, d time.Duration) error
}

// NewGivenUp gives up everything before an offset. The writer's id is even, which those of a
// Writer are not.
func NewGivenUp(queue Queue, registry uint64, now time.Time, through int64) *GivenUp {
	return &GivenUp{Queue: queue, Writer: max(rand.Uint64()&^1, 2), Registry: registry, Time: uint64(now.UnixMilli()), Through: through}
}

// Given says whether the mark is that of a GivenUp.
func (m Mark) Given() bool { return m.Offset >= 0 && m.Writer&1 == 0 }

// Mark is that of the record at Through.
func (g *GivenUp) Mark() Mark { return Mark{Offset: g.Through, Writer: g.Writer, Number: 1} }

// fillers is how many records of a loss are on their way at once.
const fillers = 8

// ErrBeside says that another record came to lie where the mark of what is given up should
// be. All of it is to be given up once more, through a higher offset.
var ErrBeside = errors.New("chain: another record lies where the loss should end")

// triesOfLoss is how many appends without an answer, one after the other, end a try to write
// a loss.
const triesOfLoss = 10

// Write writes the records of a loss, and says now and then up to which offset there are
// some. It may be called again, by anybody with the same GivenUp or another one: records that
// are there already are harmless.
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

// Written says whether the queue has the record of Mark, which is durable if any behind it
// is.
func (g *GivenUp) Written(ctx context.Context, stream Stream) error {
	rest := g.pause
	if rest == nil {
		rest = pause
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
