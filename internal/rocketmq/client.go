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

	// Instance is the name of this client. It must be unique in the cluster, also among the earlier
	// clients of this process: two clients with one name in a process would share their
	// connections.
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
	GivenUp    operate.Trouble // pulls that were ended because their broker did not answer any more
	Overslept  operate.Trouble // pulls that a broker kept waiting although it had the record
	Damaged    operate.Trouble // answers to pulls whose records cannot be read
	Away       operate.Trouble // probes that a broker did not answer
}

// Troubles give what is counted.
func (c *Client) Troubles() *Troubles { return &c.troubles }

var _ chain.Stream = (*Client)(nil)

// Open makes a client. It may be called only once in a process for each Instance, because the
// library leaves goroutines behind. All brokers must be up. If a broker does not have a topic, Open
// logs that and goes on, because other queues may work. Calls for the queues of that topic end with
// chain.ErrNoQueue until it is made (MakeTopic).
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

// look learns where the brokers are, and says which topics they do not have.
func (c *Client) look(ctx context.Context) error {
	type topic struct{ name, broker string }
	all, err := c.remote.route(ctx, c.options.NameServers, everywhere)
	if err != nil {
		return err
	}
	topics := map[topic]int{}
	for _, place := range c.options.Places {
		address := all.addresses[place.Broker]
		if address == "" {
			return noBroker(place.Broker)
		}
		c.brokers[place.Broker] = &broker{name: place.Broker, topic: place.Topic, address: address}
		at := topic{place.Topic, place.Broker}
		topics[at] = max(topics[at], place.Queue+1)
	}
	for at, queues := range topics {
		err := c.remote.hasTopic(ctx, c.options.NameServers, at.broker, at.name, queues)
		switch {
		case errors.Is(err, chain.ErrNoQueue):
			c.options.Log.Error("rocketmq: a broker does not have a topic, and nothing can be sent to its queues", "topic", at.name, "broker", at.broker, "error", err)
		case err != nil:
			return err
		}
	}
	return nil
}

// warm makes the library fetch the routes of the topics one after the other. If a topic is used for
// the first time by several goroutines at once, they race in the library and fail.
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

// queue names a queue to the library. The library writes to the value, so each call makes a new
// one.
func (p Place) queue() *primitive.MessageQueue {
	return &primitive.MessageQueue{Topic: p.Topic, BrokerName: p.Broker, QueueId: p.Queue}
}
