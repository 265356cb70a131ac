// Package gannet is the client of a gannet server. It logs in, sends and
// receives; connections, retries, order and gaps are the package's business.
//
// The first program answers whatever it is sent:
//
//	package main
//
//	import (
//		"context"
//		"log"
//
//		"gannet/sdk/go"
//	)
//
//	func main() {
//		ctx := context.Background()
//		c, err := gannet.Dial(ctx, "127.0.0.1:7420", "a token from gannet token")
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer c.Close(ctx)
//		for m, err := range c.Messages(ctx) {
//			if err != nil {
//				log.Fatal(err)
//			}
//			if m.Sender == c.User() { // this user, on another device
//				continue
//			}
//			if _, err := c.Send(ctx, m.Conversation, gannet.Text("You said: "+m.Text())); err != nil {
//				log.Print(err)
//			}
//		}
//	}
//
// # Promises
//
// A message that was taken gets one place in its conversation, however often
// the connection breaks on the way. What is received comes in the order of its
// conversation, without gaps, and once: a message counts as received when the
// loop over [Client.Messages] asks for the next one, or when [Handler].Message
// returns nil, and what does not count comes again. Without a [Store] both hold
// for the life of the Client. With one they hold across restarts: what was taken
// is sent, its outcome is told, and a message comes a second time only where the
// process died while it handled it. A Store belongs to one user, device and server, and
// nothing that one client took is sent as another user; what an app posts before its
// first login is bound to whom that login names, see [WithUser].
//
// # Sending
//
// [Client.Send] waits until a message is durable on the server, [Client.Post]
// gives a handle at once. Each message has an id which the app may choose
// ([Draft].ID) and under which every outcome is told, also after a restart
// ([Handler].Outcome).
//
// # Receiving
//
// An app ranges over [Client.Messages], or sets [Handler].Message; one of the
// two. [Client.History] pages through what there was before.
//
// # Errors
//
// What the server refuses is an [*Error]. It wraps its [Code], so
// errors.Is(err, gannet.CodeBadTarget) asks for one. [ErrClosed], [ErrKept],
// [ErrAbandoned] and [ErrDropped] say what a closed client did with what it was given,
// [ErrStore] and [ErrUncertain] what one did whose Store failed.
//
// All methods are safe for concurrent use.
package gannet
