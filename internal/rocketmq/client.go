package rocketmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

// Place says where a queue lies. Places are stored, not worked out, so that a queue can
// lie elsewhere one day.
type Place struct {
	Topic  string
	Broker string // name of the broker
	Queue  int    // its number in the topic
}

// Options say which brokers there are.
type Options struct {
	NameServers []string // host:port each

	// Instance names this client among all of the cluster, for as long as the process
	// lives: two of one name in a process would share their connections.
	Instance string

	Places map[chain.Queue]Place
	Log    *slog.Logger  // nil: slog.Default()
	Send   time.Duration // how long an append waits for its answer, 0: half a second
}

// sends is how many appends are under way at most, those that nobody waits for any more
// included: a broker that is stopped keeps them for long.
const sends = 1024

// Client is a chain.Stream. Its methods are safe for concurrent use.
type Client struct {
	options Options
	sender  rocketmq.Producer
	sending chan struct{} // a place for each append under way
	remote  *remote

	brokers map[string]*broker // by name

	troubles Troubles
}

// Troubles count what does not go as it should.
type Troubles struct {
	Unanswered operate.Trouble // appends of which nobody knows what became
	Refused    operate.Trouble // appends that the broker did not take
	GivenUp    operate.Trouble // pulls that were under way when their broker did not answer any more
	Overslept  operate.Trouble // pulls that a broker let wait although it had something
	Damaged    operate.Trouble // answers to pulls whose records cannot be read
	Away       operate.Trouble // brokers that did not answer when they were asked whether they are there
}

// Troubles give what is counted.
func (c *Client) Troubles() *Troubles { return &c.troubles }

var _ chain.Stream = (*Client)(nil)

// Open makes a client, once in the life of a process for each name: the library leaves
// goroutines behind. The topics must exist (MakeTopic), and their brokers answer.
func Open(ctx context.Context, options Options) (*Client, error) {
	if options.Log == nil {
		options.Log = slog.Default()
	}
	if options.Send == 0 {
		options.Send = 500 * time.Millisecond
	}
	if options.Instance == "" || len(options.NameServers) == 0 {
		return nil, errors.New("rocketmq: a client needs a name and the address of a name server")
	}
	logTo(options.Log)
	c := &Client{options: options, sending: make(chan struct{}, sends), remote: newRemote(), brokers: map[string]*broker{}}
	if err := c.look(ctx); err != nil {
		c.remote.close()
		return nil, err
	}
	var err error
	c.sender, err = rocketmq.NewProducer(
		producer.WithNameServer(primitive.NamesrvAddr(options.NameServers)),
		producer.WithGroupName("gannet-"+options.Instance),
		producer.WithInstanceName("gannet-send-"+options.Instance),
		producer.WithRetry(0),
		producer.WithCompressMsgBodyOverHowmuch(1<<30),
		producer.WithQueueSelector(producer.NewManualQueueSelector()),
	)
	if err == nil {
		err = c.sender.Start()
	}
	if err != nil {
		c.remote.close()
		return nil, fmt.Errorf("rocketmq: %w", err)
	}
	if err := c.warm(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// look sees whether every place exists, and learns where the brokers are.
func (c *Client) look(ctx context.Context) error {
	routes := map[string]*route{}
	for queue, place := range c.options.Places {
		r := routes[place.Topic]
		if r == nil {
			var err error
			if r, err = c.remote.route(ctx, c.options.NameServers, place.Topic); err != nil {
				return err
			}
			routes[place.Topic] = r
		}
		if n := r.queues[place.Broker]; place.Queue >= n {
			return fmt.Errorf("rocketmq: %v lies in queue %d of topic %s on broker %s, which has %d queues", queue, place.Queue, place.Topic, place.Broker, n)
		}
		c.brokers[place.Broker] = &broker{name: place.Broker, topic: place.Topic, address: r.addresses[place.Broker]}
	}
	return nil
}

// warm makes the library fetch the route of each topic, one after the other: first uses
// of a topic at the same time race in it and fail.
func (c *Client) warm(ctx context.Context) error {
	done := map[string]bool{}
	for _, place := range c.options.Places {
		if done[place.Topic] {
			continue
		}
		done[place.Topic] = true
		// A queue that no broker has is not sent to, and looking for it fetches the route.
		m := primitive.NewMessage(place.Topic, []byte{0})
		m.Queue = &primitive.MessageQueue{Topic: place.Topic, BrokerName: "none of " + place.Broker}
		if _, err := c.sender.SendSync(ctx, m); err == nil || !notSent(err) {
			return fmt.Errorf("rocketmq: looking for the route of topic %s: %w", place.Topic, err)
		}
	}
	return nil
}

// Close ends the client. Appends that are under way may still arrive.
func (c *Client) Close() error {
	var err error
	if c.sender != nil {
		err = c.sender.Shutdown()
	}
	c.remote.close()
	return err
}

// place finds a queue.
func (c *Client) place(queue chain.Queue) (Place, *broker, error) {
	p, ok := c.options.Places[queue]
	if !ok {
		return p, nil, fmt.Errorf("rocketmq: nobody said where %v lies", queue)
	}
	return p, c.brokers[p.Broker], nil
}

// queue names a queue to the library, which writes to what it is given.
func (p Place) queue() *primitive.MessageQueue {
	return &primitive.MessageQueue{Topic: p.Topic, BrokerName: p.Broker, QueueId: p.Queue}
}
