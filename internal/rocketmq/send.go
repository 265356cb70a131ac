package rocketmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"gannet/internal/chain"
)

// answer is what the library says to an append.
type answer struct {
	result *primitive.SendResult
	err    error
}

// Append implements chain.Stream. The library may ignore its context and wait for a connection that
// is stuck. So it is called in its own goroutine, and Append does not wait for it any longer than
// Send.
func (c *Client) Append(ctx context.Context, queue chain.Queue, body []byte) (int64, error) {
	place, b, err := c.place(queue)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", chain.ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Send)
	defer cancel()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("%w: %w", chain.ErrRefused, ctx.Err())
	}
	select {
	case c.sending <- struct{}{}:
	default:
		return 0, fmt.Errorf("%w: %d appends are under way", chain.ErrRefused, sends)
	}
	m := primitive.NewMessage(place.Topic, body)
	m.Queue = place.queue()
	answers := make(chan answer, 1)
	go func() {
		result, err := c.sender.SendSync(ctx, m)
		<-c.sending
		answers <- answer{result, err}
	}()
	select {
	case a := <-answers:
		offset, err := read(a, place)
		if err != nil {
			c.note(b, err)
		}
		return offset, err
	case <-ctx.Done():
		c.note(b, ctx.Err())
		return 0, ctx.Err()
	}
}

// read gives the offset in an answer. It returns an error unless the answer is a clear success.
func read(a answer, place Place) (int64, error) {
	switch {
	case a.err != nil && codeOf(a.err) == noTopic:
		return 0, fmt.Errorf("%w: %w: %w", chain.ErrRefused, chain.ErrNoQueue, a.err)
	case a.err != nil && notSent(a.err):
		return 0, fmt.Errorf("%w: %w", chain.ErrRefused, a.err)
	case a.err != nil:
		return 0, a.err
	case a.result.Status != primitive.SendOK:
		return 0, fmt.Errorf("rocketmq: the broker answers with status %d", a.result.Status)
	case a.result.MessageQueue == nil || a.result.MessageQueue.QueueId != place.Queue || a.result.OffsetMsgID == "":
		// The library reads a number that is missing as 0.
		return 0, fmt.Errorf("rocketmq: the broker's answer says nothing of queue %d: %v", place.Queue, a.result)
	}
	return a.result.QueueOffset, nil
}

// refusals are the codes with which a broker refuses a record without storing it: it is busy, the
// message is illegal, the topic is read-only or does not exist.
var refusals = map[int]bool{2: true, 13: true, 16: true, noTopic: true}

// notSent says whether an error of the library means that the record was not stored.
func notSent(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return true
	}
	return refusals[codeOf(err)] || strings.HasSuffix(err.Error(), "route info not found")
}

// codeOf gives the broker's code from an error of the library, or 0 if there is none.
func codeOf(err error) (code int) {
	if n, _ := fmt.Sscanf(err.Error(), "CODE: %d", &code); n != 1 {
		return 0
	}
	return code
}

// note counts an append that failed.
func (c *Client) note(b *broker, err error) {
	trouble, what := &c.troubles.Unanswered, "rocketmq: nobody knows what became of a record"
	if errors.Is(err, chain.ErrRefused) {
		trouble, what = &c.troubles.Refused, "rocketmq: the broker did not take a record"
	}
	if trouble.Note() {
		c.options.Log.Warn(what, "broker", b.name, "error", err)
	}
}
