package rocketmq

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"

	"gannet/internal/chain"
)

// While a pull waits, the broker is asked whether it has something by now: after
// firstLook, and then ever more seldom, down to once in a probePause. That also tells
// whether it is there.
const (
	firstLook  = 5 * time.Millisecond
	probePause = time.Second
)

// pullers are consumers of the library. A pull writes to its consumer without a lock
// and heeds no context, so each pull has one to itself until it is answered, however
// long ago it was given up.
type pullers struct {
	options *Options
	mu      sync.Mutex
	idle    []*puller
	all     []*puller
	closed  bool
}

// puller is a consumer and the one pull that it may have under way.
type puller struct {
	consumer rocketmq.PullConsumer
	results  chan pulled
}

type pulled struct {
	result *primitive.PullResult
	err    error
}

// nobody gets queues from the library's own balancing: whoever gets one has it pulled
// into a cache that nobody reads.
func nobody(string, string, []*primitive.MessageQueue, []string) []*primitive.MessageQueue {
	return nil
}

// get gives a consumer that is free.
func (p *pullers) get(topic string) (*puller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("rocketmq: the client is closed")
	}
	if n := len(p.idle); n > 0 {
		free := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return free, nil
	}
	name := p.options.Instance + "-" + strconv.Itoa(len(p.all))
	made, err := rocketmq.NewPullConsumer(
		consumer.WithNameServer(primitive.NamesrvAddr(p.options.NameServers)),
		consumer.WithGroupName("gannet-"+name),
		consumer.WithInstance("gannet-pull-"+name),
		consumer.WithStrategy(nobody),
	)
	if err == nil {
		if err = made.Subscribe(topic, consumer.MessageSelector{}); err == nil {
			err = made.Start()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("rocketmq: %w", err)
	}
	fresh := &puller{consumer: made, results: make(chan pulled, 1)}
	p.all = append(p.all, fresh)
	return fresh, nil
}

// put gives a consumer back once its pull was answered.
func (p *pullers) put(free *puller) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, free)
}

// close ends all consumers.
func (p *pullers) close() (err error) {
	p.mu.Lock()
	p.closed = true
	all := p.all
	p.mu.Unlock()
	for _, one := range all {
		if failed := one.consumer.Shutdown(); failed != nil {
			err = failed
		}
	}
	return err
}

// Pull is chain.Stream's.
func (c *Client) Pull(ctx context.Context, queue chain.Queue, from int64, limit int) ([]chain.Stored, error) {
	place, b, err := c.place(queue)
	if err != nil {
		return nil, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if b.away() { // a pull would hang
			if err := c.probe(b); err != nil {
				return nil, err
			}
		}
		p, err := c.pullers.get(place.Topic)
		if err != nil {
			return nil, err
		}
		go func() {
			result, err := p.consumer.PullFrom(context.Background(), place.queue(), from, limit)
			p.results <- pulled{result, err}
		}()
		got, overslept, err := c.wait(ctx, b, place, p, from)
		if err != nil {
			return nil, err
		}
		if overslept {
			continue
		}
		if got.err != nil {
			return nil, fmt.Errorf("rocketmq: pulling from %v: %w", queue, got.err)
		}
		switch got.result.Status {
		case primitive.PullFound:
			return stored(got.result), nil
		case primitive.PullNoNewMsg: // the broker has waited as long as it likes
		case primitive.PullOffsetIllegal:
			if from < got.result.MinOffset {
				return nil, fmt.Errorf("%w: %v begins at offset %d, asked for %d", chain.ErrRetention, queue, got.result.MinOffset, from)
			}
			return nil, fmt.Errorf("%w: %v ends at offset %d, asked for %d", chain.ErrLagging, queue, got.result.MaxOffset, from)
		default:
			return nil, fmt.Errorf("%w: %v has nothing at offset %d", chain.ErrLagging, queue, from)
		}
	}
}

// wait waits for the pull of what lies at an offset. It gives the pull up when ctx ends,
// and when its broker is away: the library would wait for half a minute. It also gives
// it up, with overslept, when the broker has the record and does not say so: one that
// arrives while the broker lays the pull aside wakes nobody, and the broker looks again
// after five seconds.
func (c *Client) wait(ctx context.Context, b *broker, place Place, p *puller, from int64) (got pulled, overslept bool, err error) {
	pause := firstLook
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case got := <-p.results:
			c.pullers.put(p)
			return got, false, nil
		case <-ctx.Done():
			go c.later(p)
			return pulled{}, false, ctx.Err()
		case <-timer.C:
		}
		if overslept {
			go c.later(p)
			c.troubles.Overslept.Count()
			return pulled{}, true, nil
		}
		end, err := c.offset(ctx, b, place, getMaxOffset)
		if err != nil {
			if err := c.probe(b); err != nil {
				go c.later(p)
				if c.troubles.GivenUp.Note() {
					c.options.Log.Warn("rocketmq: a pull was given up", "broker", b.name, "error", err)
				}
				return pulled{}, false, err
			}
		}
		if overslept = err == nil && end > from; overslept {
			timer.Reset(firstLook) // the answer may be on its way
			continue
		}
		pause = min(2*pause, probePause)
		timer.Reset(pause)
	}
}

// later gives back a consumer whose pull was given up.
func (c *Client) later(p *puller) {
	<-p.results
	c.pullers.put(p)
}

func stored(result *primitive.PullResult) (all []chain.Stored) {
	for _, m := range result.GetMessageExts() {
		all = append(all, chain.Stored{Offset: m.QueueOffset, Body: m.Body})
	}
	return all
}
