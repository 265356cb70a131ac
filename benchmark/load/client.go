package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	gannet "gannet/sdk/go"
)

// client is what a user of a load talks through. It tells the user of what
// comes: onDone, onMessage and onState, from one goroutine.
type client interface {
	// send puts the user's next message on its way; onDone tells how it went, in
	// the order of the calls. The body must stay as it is until then.
	send(body []byte) error

	// close ends the connection; after it the user hears of nothing any more.
	close(ctx context.Context) error
}

// sdkClient is a client as applications have it. It reconnects and sends again
// by itself.
type sdkClient struct {
	*gannet.Client
	user *user
	to   gannet.Target
	sent uint64 // messages
	base uint64 // message n has the id base + n

	// Of the goroutine on which the SDK tells of outcomes.
	done      uint64                // up to here the user has been told
	early     map[uint64]sdkOutcome // of messages behind one that has to be sent again
	overtaken uint64                // up to here those that have to be are counted
}

// sdkOutcome is how a message went.
type sdkOutcome struct {
	ack gannet.Ack
	err error
}

// dialSDK logs the user in.
func dialSDK(ctx context.Context, u *user, address, token string, opts ...gannet.Option) (client, error) {
	s := &sdkClient{
		user: u, to: gannet.User(u.checks[0].peer), base: uint64(time.Now().UnixMicro()), early: make(map[uint64]sdkOutcome),
	}
	opts = append(opts,
		gannet.WithDialer(u.wire.dial),
		gannet.WithWindow(len(u.slots)),
		gannet.WithName(ClientName),
		gannet.WithHandler(gannet.Handler{
			Message: func(_ context.Context, _ *gannet.Client, m gannet.Message) error {
				u.onMessage(m.Seq, m.Sender, m.Body)
				return nil
			},
			Outcome: func(_ context.Context, _ *gannet.Client, o gannet.Outcome) {
				s.finish(o.ID-s.base, sdkOutcome{o.Ack, o.Err})
			},
			Event: func(_ context.Context, _ *gannet.Client, e gannet.Event) { u.onEvent(e) },
		}))
	c, err := gannet.Dial(ctx, address, token, opts...)
	if err != nil {
		return nil, fmt.Errorf("benchmark: user %d: %w", u.id, err)
	}
	s.Client = c
	return s, nil
}

// onEvent takes what happens to the connection of the user's client.
func (u *user) onEvent(e gannet.Event) {
	switch e.Kind {
	case gannet.EventConnected:
		u.onState(true, nil)
	case gannet.EventLost, gannet.EventEnded:
		u.onState(false, e.Err)
	case gannet.EventHeld:
		if errors.Is(e.Err, gannet.CodeRateLimited) {
			u.load.overLimit(e.Err)
		}
	}
}

// ClientName is what the server hears that the clients are.
const ClientName = "gannet benchmark"

func (c *sdkClient) send(body []byte) error {
	n := c.sent + 1
	// The window of the client is that of the user, so there is room.
	_, err := c.Post(context.Background(), c.to, gannet.Draft{ID: c.base + n, Content: gannet.ContentText, Body: body})
	if err == nil {
		c.sent = n
	}
	return err
}

// finish tells the user how message n went, once all before it have been told. One
// that is overtaken was refused for the moment, and goes behind later ones.
func (c *sdkClient) finish(n uint64, o sdkOutcome) {
	c.early[n] = o
	for k := max(c.done, c.overtaken) + 1; k < n; k++ {
		if _, known := c.early[k]; !known {
			c.user.again.Add(1)
		}
	}
	c.overtaken = max(c.overtaken, n-1)
	for {
		o, found := c.early[c.done+1]
		if !found {
			return
		}
		c.done++
		delete(c.early, c.done)
		c.user.onDone(o.ack.ID, o.ack.Seq, o.err)
	}
}

func (c *sdkClient) close(ctx context.Context) error { return c.Close(ctx) }
