package rocketmq

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gannet/internal/chain"
)

// While a pull waits, the client asks the broker for the end of the queue: after firstLook, and
// then less and less often, down to once in a probePause. The answer also tells that the broker is
// up.
const (
	firstLook  = 5 * time.Millisecond
	probePause = time.Second
)

// suspended is how long the broker keeps a pull at the end of a queue.
const suspended = 20 * time.Second

// The codes with which a broker answers a pull.
const (
	found       = 0
	notFound    = 19
	retryPull   = 20
	offsetMoved = 21
)

// pulled is what the broker says to a pull.
type pulled struct {
	code             int
	first, end, next int64 // where the queue begins and ends, and where to go on
	all              []chain.Stored
}

// ask makes one pull. It does not use the library's pulls. Those ignore the context and hang for
// half a minute when their connection breaks. They also write, without a lock, to data that the
// library's balancing reads, and the balancing fills caches that nobody reads.
func (c *Client) ask(ctx context.Context, b *broker, place Place, from int64, limit int) (pulled, error) {
	const suspend, subscription = 1 << 1, 1 << 2
	a, err := c.remote.call(ctx, b.where(), pullMessage, map[string]string{
		"consumerGroup": "gannet-" + c.options.Instance, "topic": place.Topic, "queueId": strconv.Itoa(place.Queue),
		"queueOffset": strconv.FormatInt(from, 10), "maxMsgNums": strconv.Itoa(limit), "sysFlag": strconv.Itoa(suspend | subscription),
		"commitOffset": "0", "suspendTimeoutMillis": strconv.FormatInt(suspended.Milliseconds(), 10),
		"subscription": "*", "subVersion": "0", "expressionType": "TAG",
	}, nil)
	if err != nil {
		return pulled{}, err
	}
	p := pulled{code: a.Code}
	switch a.Code {
	case found, notFound, retryPull, offsetMoved:
	case noTopic:
		return p, fmt.Errorf("%w: broker %s knows no topic %s", chain.ErrNoQueue, b.name, place.Topic)
	default:
		return p, fmt.Errorf("rocketmq: broker %s answers a pull with code %d: %s", b.name, a.Code, a.Remark)
	}
	for name, to := range map[string]*int64{"minOffset": &p.first, "maxOffset": &p.end, "nextBeginOffset": &p.next} {
		if *to, err = strconv.ParseInt(a.Fields[name], 10, 64); err != nil {
			return p, fmt.Errorf("rocketmq: broker %s answers a pull without %s: %w", b.name, name, err)
		}
	}
	if a.Code == found {
		if p.all, err = records(a.body); err != nil {
			err = fmt.Errorf("rocketmq: what broker %s gives of %s, queue %d, from offset %d on is damaged: %w", b.name, place.Topic, place.Queue, from, err)
			if c.troubles.Damaged.Note() {
				c.options.Log.Error("rocketmq: the answer to a pull is refused", "error", err)
			}
			return pulled{}, err
		}
	}
	return p, nil
}

// Pull implements chain.Stream.
func (c *Client) Pull(ctx context.Context, queue chain.Queue, from int64, limit int) ([]chain.Stored, error) {
	all, first, err := c.pull(ctx, queue, from, limit)
	switch {
	case err != nil:
	case len(all) == 0: // the broker said that there is something
		err = fmt.Errorf("%w: %v gave nothing at offset %d", chain.ErrLagging, queue, from)
	case all[0].Offset > from:
		err = c.gone(ctx, queue, from, first)
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// pull gives what the broker has at the offset or behind it, and where it says that the
// queue begins.
func (c *Client) pull(ctx context.Context, queue chain.Queue, from int64, limit int) (all []chain.Stored, first int64, err error) {
	place, b, err := c.place(queue)
	if err != nil {
		return nil, 0, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if b.away() { // a pull would hang
			if err := c.probe(b); err != nil {
				return nil, 0, err
			}
		}
		got, overslept, err := c.wait(ctx, b, place, from, limit)
		if err != nil {
			return nil, 0, err
		}
		if overslept {
			continue
		}
		switch got.code {
		case found:
			return got.all, got.first, nil
		case notFound: // the broker ended the pull after its waiting time
		case offsetMoved:
			if from < got.first {
				return nil, 0, fmt.Errorf("%w: %v begins at offset %d, asked for %d", chain.ErrRetention, queue, got.first, from)
			}
			return nil, 0, fmt.Errorf("%w: %v ends at offset %d, asked for %d", chain.ErrLagging, queue, got.end, from)
		default: // what was there is gone; there may be something further on
			if got.next <= from || got.next >= got.end {
				return nil, 0, fmt.Errorf("%w: %v has nothing at offset %d", chain.ErrLagging, queue, from)
			}
			from = got.next
		}
	}
}

// gone tells why a pull began behind the offset that was asked for. The broker removes old records
// some time before it moves the beginning of the queue. If the record at that beginning is gone
// too, all records up to the one that came were removed because of their age: gone returns
// chain.ErrRetention. Otherwise the queue has a hole, which the caller sees from the offsets, and
// gone returns nil.
func (c *Client) gone(ctx context.Context, queue chain.Queue, from, first int64) error {
	oldest := from + 1
	if from > first {
		all, _, err := c.pull(ctx, queue, first, 1)
		if errors.Is(err, chain.ErrRetention) || err == nil && len(all) == 0 {
			return fmt.Errorf("%w: the beginning of %v moves", chain.ErrLagging, queue)
		}
		if err != nil {
			return err
		}
		oldest = all[0].Offset
	}
	if oldest <= from {
		return nil
	}
	return fmt.Errorf("%w: nothing of %v is there at offset %d or before", chain.ErrRetention, queue, from)
}

// wait makes a pull and waits for its answer. It gives the pull up when ctx ends and when the
// broker is down. It also gives it up, with overslept, when the broker has the record but does not
// answer: a record that arrives just while the broker lays the pull aside does not wake the pull,
// and the broker looks again only after five seconds.
func (c *Client) wait(ctx context.Context, b *broker, place Place, from int64, limit int) (got pulled, overslept bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		pulled
		err error
	}
	results := make(chan result, 1)
	go func() {
		got, err := c.ask(ctx, b, place, from, limit)
		results <- result{got, err}
	}()
	pause := firstLook
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case r := <-results:
			return r.pulled, false, r.err
		case <-ctx.Done():
			return pulled{}, false, ctx.Err()
		case <-timer.C:
		}
		if overslept {
			c.troubles.Overslept.Count()
			return pulled{}, true, nil
		}
		end, err := c.offset(ctx, b, place, getMaxOffset)
		if err != nil {
			if err := c.probe(b); err != nil {
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
