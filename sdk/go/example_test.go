package gannet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"

	"gannet/sdk/go"
)

// Send waits until the message is on the server's disk.
func ExampleClient_Send() {
	s, ctx, stop := start() // a server of gannettest; s.Token gives what an operator would
	defer stop()

	c, err := gannet.Dial(ctx, s.Address(), s.Token(1))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	ack, err := c.Send(ctx, gannet.User(7), gannet.Text("hello"))
	fmt.Println(ack.Seq, err)

	_, err = c.Send(ctx, gannet.User(0), gannet.Text("hello?"))
	if errors.Is(err, gannet.CodeBadTarget) {
		fmt.Println("there is no such user")
	}
	// Output:
	// 1 <nil>
	// there is no such user
}

// Post is for an app that goes on meanwhile, also without a connection: the outcome
// comes to a hook, under the id of the message.
func ExampleClient_Post() {
	s, ctx, stop := start()
	defer stop()

	told := make(chan gannet.Outcome)
	c, err := gannet.New(s.Address(), s.Token(1), gannet.WithHandler(gannet.Handler{
		Outcome: func(_ context.Context, _ *gannet.Client, o gannet.Outcome) { told <- o },
	}))
	if err != nil {
		log.Fatal(err)
	}
	sending, err := c.Post(ctx, gannet.User(7), gannet.Text("hello"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.State(), c.Waiting())
	if err := c.Connect(ctx); err != nil {
		log.Fatal(err)
	}
	o := <-told
	fmt.Println(o.To, o.Ack.Seq, o.Err, o.ID == sending.ID())
	c.Close(ctx)
	// Output:
	// idle 1
	// user 7 1 <nil> true
}

// A message counts as received when the loop asks for the next one.
func ExampleClient_Messages() {
	s, ctx, stop := start()
	defer stop()
	say(ctx, s, 1, 7, "hello", "bye")

	c, err := gannet.Dial(ctx, s.Address(), s.Token(7))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	for m, err := range c.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s\n", m.Sender, m.Text())
		c.MarkRead(m.Conversation, m.Seq)
		if m.Text() == "bye" {
			break
		}
	}
	// Output:
	// 1: hello
	// 1: bye
}

// An app that shows a conversation begins with the newest messages, and pages back from
// the oldest one that it shows.
func ExampleClient_History() {
	s, ctx, stop := start()
	defer stop()
	say(ctx, s, 1, 7, "one", "two", "three", "four", "five")

	c, err := gannet.Dial(ctx, s.Address(), s.Token(7))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	list, err := c.Conversations(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	from := list[0].Target
	oldest := list[0].Head + 1
	for oldest > 1 {
		var page []string
		for m, err := range c.History(ctx, from, gannet.Before(oldest), gannet.Limit(3)) {
			if err != nil {
				log.Fatal(err)
			}
			page = append(page, m.Text())
			oldest = m.Seq
		}
		fmt.Println(page)
	}
	// Output:
	// [five four three]
	// [two one]
}

// A bot answers from a hook. When it returns an error the message comes again.
func ExampleHandler() {
	s, ctx, stop := start()
	defer stop()

	bot, err := gannet.Dial(ctx, s.Address(), s.Token(7), gannet.WithHandler(gannet.Handler{
		Message: func(ctx context.Context, c *gannet.Client, m gannet.Message) error {
			_, err := c.Send(ctx, m.Conversation, gannet.Text("You said: "+m.Text()))
			return err
		},
	}))
	if err != nil {
		log.Fatal(err)
	}
	defer bot.Close(ctx)

	c, err := gannet.Dial(ctx, s.Address(), s.Token(1))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	c.Send(ctx, gannet.User(7), gannet.Text("hello"))
	for m := range c.Messages(ctx) {
		fmt.Println(m.Text())
		break
	}
	// Output: You said: hello
}

// A token source asks one's own backend, at every login.
func ExampleWithTokenSource() {
	s, ctx, stop := start()
	defer stop()

	source := func(ctx context.Context) (string, error) {
		// An app asks its backend here, over HTTP for example.
		return s.Token(7), nil
	}
	c, err := gannet.Dial(ctx, s.Address(), "", gannet.WithTokenSource(source))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close(ctx)
	fmt.Println("user", c.User())
	// Output: user 7
}

// Records is a Store in memory. One that lasts puts the records into a table with a
// rising key, for example: Append inserts, Rewrite deletes and inserts in one
// transaction.
type Records struct {
	mu   sync.Mutex
	list [][]byte
}

func (r *Records) Load(record func([]byte) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.list {
		if err := record(b); err != nil {
			return err
		}
	}
	return nil
}

func (r *Records) Append(records ...[]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range records {
		r.list = append(r.list, bytes.Clone(b))
	}
	return nil
}

func (r *Records) Rewrite(records ...[]byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = nil
	for b := range slices.Values(records) {
		r.list = append(r.list, bytes.Clone(b))
	}
	return nil
}

func (r *Records) Sync() error { return nil }

// An app may keep the records of a client where it keeps everything else.
func ExampleStore() {
	s, ctx, stop := start()
	defer stop()

	store := new(Records)
	for range 2 { // the second life of the app goes on where the first one ended
		c, err := gannet.Dial(ctx, s.Address(), s.Token(7), gannet.WithStore(store))
		if err != nil {
			log.Fatal(err)
		}
		ack, err := c.Send(ctx, gannet.User(1), gannet.Text("hello"))
		fmt.Println(ack.Seq, err)
		c.Close(ctx)
	}
	_, err := gannet.Dial(ctx, s.Address(), s.Token(8), gannet.WithStore(store))
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// 2 <nil>
	// gannet: the store or client belongs to user 7, and this is user 8
}
