// Command sender sends one text to a user.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"gannet/sdk/go"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:7420", "the server")
	token := flag.String("token", "", "the sender's token")
	to := flag.Uint64("to", 1, "the user who receives")
	text := flag.String("text", "hello", "what to send")
	flag.Parse()
	ctx := context.Background()

	c, err := gannet.Dial(ctx, *addr, *token)
	if err != nil {
		log.Fatal(err)
	}
	ack, err := c.Send(ctx, gannet.User(*to), gannet.Text(*text))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("message %d of the conversation, %v\n", ack.Seq, ack.Time)
	c.Close(ctx)
}
