package rocketmq

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"gannet/internal/chain"
)

// noGroup is what a broker answers that does not know a group.
const noGroup = 26

// Report tells the broker how far a group has read a queue, up to before an offset. It is
// for RocketMQ's own tools, which show it; nobody here asks for it. A group that the broker
// does not know is made.
func (c *Client) Report(ctx context.Context, group string, queue chain.Queue, next int64) error {
	place, b, err := c.place(queue)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probePause/2)
	defer cancel()
	report := func() (*reply, error) {
		return c.remote.call(ctx, b.where(), reportOffset, map[string]string{
			"consumerGroup": group, "topic": place.Topic, "queueId": strconv.Itoa(place.Queue), "commitOffset": strconv.FormatInt(next, 10),
		}, nil)
	}
	a, err := report()
	if err == nil && a.Code == noGroup {
		var body []byte
		if body, err = json.Marshal(map[string]any{"groupName": group, "consumeEnable": true, "brokerId": 0, "retryQueueNums": 1, "retryMaxTimes": 16}); err != nil {
			return err
		}
		if _, err = c.remote.call(ctx, b.where(), makeGroup, nil, body); err == nil {
			a, err = report()
		}
	}
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("rocketmq: broker %s answers code %d: %s", b.name, a.Code, a.Remark)
	}
	return err
}
