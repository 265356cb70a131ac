//go:build cluster

package rocketmq

import (
	"context"
	"crypto/rand"
	"strconv"
	"testing"

	"gannet/internal/chain"
)

// What a reader reports is what the broker tells RocketMQ's tools.
func TestReport(t *testing.T) {
	places := topic(t, server(t), 2)
	c := open(t, server(t), places)
	queue := queues(2)[1]
	group := "gannet-test-" + rand.Text()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	for _, next := range []int64{5, 700, 3} { // brokers of 5.4 hold by what was reported last
		if err := c.Report(ctx, group, queue, next); err != nil {
			t.Fatal(err)
		}
		place, b, err := c.place(queue)
		if err != nil {
			t.Fatal(err)
		}
		const queryOffset = 14
		a, err := c.remote.call(ctx, b.where(), queryOffset, map[string]string{
			"consumerGroup": group, "topic": place.Topic, "queueId": strconv.Itoa(place.Queue),
		}, nil)
		if err != nil || a.Fields["offset"] != strconv.FormatInt(next, 10) {
			t.Errorf("the broker says %v (%v), want %d", a, err, next)
		}
	}
	if err := c.Report(ctx, group, chain.Queue{Class: chain.System, Number: 9}, 1); err == nil {
		t.Error("no error for a queue that lies nowhere")
	}
}
