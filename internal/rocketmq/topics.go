package rocketmq

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// MakeTopic makes a topic with so many queues on the broker at the address, or changes
// how many it has, and returns once the name servers know it. A topic never has fewer
// queues afterwards than before.
func MakeTopic(ctx context.Context, nameServers []string, broker, topic string, queues int) error {
	r := newRemote()
	defer r.close()
	address, err := r.brokerAddress(ctx, nameServers, broker)
	if err != nil {
		return err
	}
	if found, err := r.route(ctx, nameServers, topic); err == nil && found.queues[broker] > queues {
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
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("rocketmq: topic %s was made, but the name servers do not know its %d queues (%v): %w", topic, queues, err, ctx.Err())
		}
	}
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

// brokerAddress finds a broker.
func (r *remote) brokerAddress(ctx context.Context, nameServers []string, broker string) (string, error) {
	found, err := r.route(ctx, nameServers, everywhere)
	if err != nil {
		return "", err
	}
	if found.addresses[broker] == "" {
		return "", fmt.Errorf("rocketmq: the name servers know no master of broker %s", broker)
	}
	return found.addresses[broker], nil
}
