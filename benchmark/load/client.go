package load

import (
	"context"
	"fmt"

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
	to   gannet.Target
	done func(gannet.Ack, error) // of every message
}

// dialSDK logs the user in.
func dialSDK(ctx context.Context, u *user, address, token string, opts ...gannet.Option) (client, error) {
	opts = append(opts,
		gannet.WithDialer(u.wire.dial),
		gannet.WithWindow(len(u.slots)),
		gannet.WithName(ClientName),
		gannet.WithHandler(gannet.Handler{
			Message: func(m gannet.Message) { u.onMessage(m.Seq, m.Sender, m.Body) },
			State:   u.onState,
		}))
	c, err := gannet.Dial(ctx, address, token, opts...)
	if err != nil {
		return nil, fmt.Errorf("benchmark: user %d: %w", u.id, err)
	}
	return &sdkClient{c, gannet.User(u.check.peer), func(ack gannet.Ack, err error) {
		u.onDone(ack.ClientID, ack.Seq, err)
	}}, nil
}

// ClientName is what the server hears that the clients are.
const ClientName = "gannet benchmark"

func (c *sdkClient) send(body []byte) error {
	return c.SendFunc(c.to, gannet.Draft{Content: gannet.ContentText, Body: body}, c.done)
}

func (c *sdkClient) close(ctx context.Context) error { return c.Close(ctx) }
