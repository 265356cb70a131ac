package gannet

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"gannet/protocol"
)

// request is a question of a caller who waits for the answer. It outlives
// connections: each new one is asked again.
type request struct {
	number  uint32
	encode  func(dst []byte, number uint32) []byte
	reply   chan answer
	retries int
	retryAt time.Time // zero: asked
}

type answer struct {
	kind    protocol.Type
	payload []byte
	err     error
}

// ask puts a question and waits for an answer of the given type, until ctx ends.
func (c *Client) ask(ctx context.Context, want protocol.Type, encode func(dst []byte, number uint32) []byte) ([]byte, error) {
	r := &request{encode: encode, reply: make(chan answer, 1)}
	c.mu.Lock()
	if c.closing {
		defer c.mu.Unlock()
		return nil, c.refusal()
	}
	c.requests = append(c.requests, r)
	c.put(r)
	c.flush()
	c.mu.Unlock()
	a, err := outcomeOr(ctx, r.reply)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.drop(r)
		return nil, err
	}
	if a.err == nil && a.kind != want {
		a.err = fmt.Errorf("gannet: the server answers with frame type %#x", uint8(a.kind))
	}
	return a.payload, a.err
}

// put sends a question if there is a connection. The caller holds mu.
func (c *Client) put(r *request) {
	r.retryAt = time.Time{}
	if c.wire.conn != nil {
		r.number = c.numbers.next()
		c.wire.pending = r.encode(c.wire.pending, r.number)
	}
}

func (c *Client) drop(r *request) {
	if i := slices.Index(c.requests, r); i >= 0 {
		c.requests = slices.Delete(c.requests, i, i+1)
	}
}

// askAgain puts the questions whose retry is due, all of them when now is zero:
// the connection is new. The caller holds mu.
func (c *Client) askAgain(now time.Time) {
	for _, r := range c.requests {
		switch {
		case now.IsZero() || !r.retryAt.IsZero() && !now.Before(r.retryAt):
			c.put(r)
		case !r.retryAt.IsZero():
			soonest(&c.due.ask, r.retryAt)
		}
	}
}

// answer hands the answer to who asked, if anybody still waits, or plans a
// retry. The payload is copied.
func (c *Client) answer(number uint32, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.requests, func(r *request) bool { return r.number == number })
	if i < 0 {
		return
	}
	r := c.requests[i]
	if e, ok := a.err.(*Error); ok && e.Code.action() == protocol.ActionRetry {
		r.retries++
		r.retryAt = c.link.now.Add(retryDelay(r.retries, e.RetryAfter))
		soonest(&c.due.ask, r.retryAt)
		return
	}
	c.requests = slices.Delete(c.requests, i, i+1)
	a.payload = bytes.Clone(a.payload)
	r.reply <- a
}
