package gannet_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"gannet/sdk/go"
)

func ExampleDial() {
	ctx := context.Background()
	store, err := gannet.NewFileStore("chat-data")
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	c, err := gannet.Dial(ctx, "127.0.0.1:7420", "", gannet.WithStore(store),
		gannet.WithTokenSource(func(ctx context.Context) (string, error) { return "a fresh token", nil }))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
}

func ExampleClient_Send() {
	var c *gannet.Client // from Dial
	ack, err := c.Send(context.Background(), gannet.User(7), gannet.Text("hello"))
	var refused *gannet.Error
	if errors.As(err, &refused) {
		log.Print("the server refuses: ", refused.Code)
	}
	fmt.Println(ack.Seq)
}

func ExampleClient_Messages() {
	ctx := context.Background()
	var c *gannet.Client // from Dial
	for m := range c.Messages(ctx) {
		fmt.Printf("%d: %s\n", m.Sender, m.Text())
		c.MarkRead(ctx, m.Conversation, m.Seq)
	}
}

func ExampleClient_History() {
	var c *gannet.Client // from Dial
	for m, err := range c.History(context.Background(), gannet.Group(9), gannet.HistoryOptions{Backward: true}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%v %d: %s\n", m.Time, m.Sender, m.Text())
	}
}

func ExampleWithHandler() {
	var c *gannet.Client
	c, err := gannet.Dial(context.Background(), "127.0.0.1:7420", "a token", gannet.WithHandler(gannet.Handler{
		Message: func(m gannet.Message) {
			// A hook must not wait, so Send is not for here.
			c.SendFunc(m.Conversation, gannet.Text("got it"), nil)
		},
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(context.Background())
}
