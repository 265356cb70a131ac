// Package gannet is the client of a gannet server: dial once, then send and
// receive; connections, retries, order and gaps are the package's business.
//
//	c, err := gannet.Dial(ctx, "127.0.0.1:7420", token)
//	ack, err := c.Send(ctx, gannet.User(7), gannet.Text("hello"))
//	for m := range c.Messages(ctx) { … }
//
// What a client promises: a message that was sent gets one place in its
// conversation however often the connection breaks on the way; what is received
// comes in order, without gaps and once for each conversation. Without a Store
// both hold for the life of the Client; with one they hold across restarts,
// except that a process which dies may see again the last messages that it
// had received.
//
// All methods are safe for concurrent use.
package gannet
