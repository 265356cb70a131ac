package rocketmq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/apache/rocketmq-client-go/v2/primitive"

	"gannet/internal/chain"
)

// TestAnswers: only a clean yes is one, and only what was certainly not stored is refused.
func TestAnswers(t *testing.T) {
	place := Place{Topic: "t", Broker: "b", Queue: 3}
	result := func(change func(r *primitive.SendResult)) answer {
		r := &primitive.SendResult{Status: primitive.SendOK, OffsetMsgID: "id", QueueOffset: 7, MessageQueue: place.queue()}
		change(r)
		return answer{result: r}
	}
	failed := func(err error) answer { return answer{result: primitive.NewSendResult(), err: err} }
	_, dial := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	const yes, no, unknown = "yes", "refused", "unknown"
	for name, c := range map[string]struct {
		answer
		want string
	}{
		"a clean yes":             {result(func(*primitive.SendResult) {}), yes},
		"not flushed":             {result(func(r *primitive.SendResult) { r.Status = primitive.SendFlushDiskTimeout }), unknown},
		"not replicated":          {result(func(r *primitive.SendResult) { r.Status = primitive.SendFlushSlaveTimeout }), unknown},
		"no replica":              {result(func(r *primitive.SendResult) { r.Status = primitive.SendSlaveNotAvailable }), unknown},
		"another queue":           {result(func(r *primitive.SendResult) { r.MessageQueue.QueueId = 4 }), unknown},
		"no queue":                {result(func(r *primitive.SendResult) { r.MessageQueue = nil }), unknown},
		"nothing but a yes":       {result(func(r *primitive.SendResult) { r.OffsetMsgID = "" }), unknown},
		"nobody listens":          {failed(fmt.Errorf("wrapped: %w", dial)), no},
		"no route":                {failed(errors.New("the topic=t route info not found")), no},
		"busy":                    {failed(errors.New("CODE: 2, DESC: [TIMEOUT_CLEAN_QUEUE]broker busy")), no},
		"no such topic":           {failed(errors.New("CODE: 17, DESC: topic not exist")), no},
		"a system error":          {failed(errors.New("CODE: 1, DESC: [PC_SYNCHRONIZED]broker busy")), unknown},
		"a code that starts as 1": {failed(errors.New("CODE: 171, DESC: what")), unknown},
		"no answer":               {failed(context.DeadlineExceeded), unknown},
		"a broken connection":     {failed(&net.OpError{Op: "write", Err: errors.New("broken pipe")}), unknown},
	} {
		offset, err := read(c.answer, place)
		got := unknown
		switch {
		case err == nil && offset == 7:
			got = yes
		case errors.Is(err, chain.ErrRefused):
			got = no
		}
		if got != c.want || err == nil && c.want != yes {
			t.Errorf("%s: %s (%d, %v), want %s", name, got, offset, err, c.want)
		}
	}
}
