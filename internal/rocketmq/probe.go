package rocketmq

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"gannet/internal/chain"
)

// broker is what is known of a broker.
type broker struct {
	name  string
	topic string // a topic that the broker has

	mu      sync.Mutex
	address string
	asked   time.Time     // when the last probe began
	err     error         // the result of the last probe
	asking  chan struct{} // closed when the probe under way ends; nil: none is under way
}

// where gives its address.
func (b *broker) where() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.address
}

// away says whether the last probe was not answered.
func (b *broker) away() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil
}

// probe asks a broker whether it is there, for all that wait for it at once and at most
// once in half a probePause.
func (c *Client) probe(b *broker) error {
	b.mu.Lock()
	if b.asking == nil && time.Since(b.asked) >= probePause/2 {
		b.asking, b.asked = make(chan struct{}), time.Now()
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), probePause/2)
			defer cancel()
			address := b.where()
			_, err := c.remote.call(ctx, address, getMinOffset, map[string]string{"topic": b.topic, "queueId": "0"}, nil)
			if err != nil {
				if c.troubles.Away.Note() {
					c.options.Log.Warn("rocketmq: a broker does not answer", "broker", b.name, "address", address, "error", err)
				}
				if at, err := c.remote.brokerAddress(context.Background(), c.options.NameServers, b.name); err == nil {
					address = at // it may come back elsewhere
				}
			}
			b.mu.Lock()
			b.err, b.address = err, address
			close(b.asking)
			b.asking = nil
			b.mu.Unlock()
		}()
	}
	asking := b.asking
	b.mu.Unlock()
	if asking != nil {
		<-asking
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return fmt.Errorf("rocketmq: broker %s does not answer: %w", b.name, b.err)
	}
	return nil
}

// offset asks for a bound of a queue.
func (c *Client) offset(ctx context.Context, b *broker, place Place, code int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, probePause/2)
	defer cancel()
	a, err := c.remote.call(ctx, b.where(), code, map[string]string{"topic": place.Topic, "queueId": strconv.Itoa(place.Queue)}, nil)
	if err != nil {
		return 0, err
	}
	if a.Code != 0 {
		return 0, fmt.Errorf("rocketmq: broker %s answers code %d: %s", b.name, a.Code, a.Remark)
	}
	return strconv.ParseInt(a.Fields["offset"], 10, 64)
}

// Bounds implements chain.Stream.
func (c *Client) Bounds(ctx context.Context, queue chain.Queue) (first, end int64, err error) {
	place, b, err := c.place(queue)
	if err != nil {
		return 0, 0, err
	}
	if first, err = c.offset(ctx, b, place, getMinOffset); err != nil {
		return 0, 0, err
	}
	end, err = c.offset(ctx, b, place, getMaxOffset)
	return first, end, err
}
