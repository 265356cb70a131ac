package rocketmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
)

// MakeTopic makes a topic with this many queues on a broker, or raises the number of its queues. It
// never lowers that number. It returns once the name servers know the topic.
func MakeTopic(ctx context.Context, nameServers []string, broker, topic string, queues int) error {
	r := newRemote()
	defer r.close()
	address, err := r.brokerAddress(ctx, nameServers, broker)
	if err != nil {
		return err
	}
	found, err := r.route(ctx, nameServers, topic)
	switch {
	case err != nil && !errors.Is(err, errNoTopic): // it may have more
		return fmt.Errorf("rocketmq: making topic %s: %w", topic, err)
	case err == nil && found.queues[broker] > queues:
		return fmt.Errorf("rocketmq: topic %s has %d queues on broker %s already, and %d would be fewer", topic, found.queues[broker], broker, queues)
	}
	a, err := r.call(ctx, address, makeTopic, map[string]string{
		"topic": topic, "defaultTopic": "TBW102", "readQueueNums": strconv.Itoa(queues), "writeQueueNums": strconv.Itoa(queues),
		"perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
	}, nil)
	if err != nil {
		return fmt.Errorf("rocketmq: making topic %s: %w", topic, err)
	}
	if a.Code != 0 {
		return fmt.Errorf("rocketmq: making topic %s: code %d: %s", topic, a.Code, a.Remark)
	}
	for {
		found, err := r.route(ctx, nameServers, topic)
		if err == nil && found.queues[broker] == queues {
			return nil
		}
		if operate.Pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("rocketmq: topic %s was made, but the name servers do not know its %d queues (%v): %w", topic, queues, err, ctx.Err())
		}
	}
}

// CheckTopic returns chain.ErrNoQueue if a broker is up and does not have the topic, or has fewer
// queues of it. After any other error nobody can tell.
func CheckTopic(ctx context.Context, nameServers []string, broker, topic string, queues int) error {
	r := newRemote()
	defer r.close()
	if _, err := r.brokerAddress(ctx, nameServers, broker); err != nil { // if the broker is down, its topics are unknown
		return err
	}
	return r.hasTopic(ctx, nameServers, broker, topic, queues)
}

// hasTopic is CheckTopic for a broker that is there.
func (r *remote) hasTopic(ctx context.Context, nameServers []string, broker, topic string, queues int) error {
	has := 0
	found, err := r.route(ctx, nameServers, topic)
	switch {
	case err == nil:
		has = found.queues[broker]
	case !errors.Is(err, errNoTopic):
		return err
	}
	if has < queues {
		return fmt.Errorf("%w: broker %s has %d of the %d queues of topic %s", chain.ErrNoQueue, broker, has, queues, topic)
	}
	return nil
}

// everywhere is a topic that every broker has.
const everywhere = "SELF_TEST_TOPIC"

// Brokers names the brokers that the name servers know.
func Brokers(ctx context.Context, nameServers []string) ([]string, error) {
	r := newRemote()
	defer r.close()
	found, err := r.route(ctx, nameServers, everywhere)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(found.addresses)), nil
}

// BrokerAddress gives the address at which the name servers say that a broker is.
func BrokerAddress(ctx context.Context, nameServers []string, broker string) (string, error) {
	r := newRemote()
	defer r.close()
	return r.brokerAddress(ctx, nameServers, broker)
}

// brokerAddress finds a broker.
func (r *remote) brokerAddress(ctx context.Context, nameServers []string, broker string) (string, error) {
	found, err := r.route(ctx, nameServers, everywhere)
	if err != nil {
		return "", err
	}
	if found.addresses[broker] == "" {
		return "", noBroker(broker)
	}
	return found.addresses[broker], nil
}

func noBroker(name string) error {
	return fmt.Errorf("rocketmq: the name servers know no master of broker %s", name)
}
