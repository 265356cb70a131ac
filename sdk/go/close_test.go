package gannet

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

// looping has a loop over Messages whose body waits: entered gets each text, and the body
// goes on when end is received from. over is closed when the loop is.
func looping(t *testing.T, c *Client) (entered chan string, end, over chan struct{}) {
	entered, end, over = make(chan string), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for m, err := range c.Messages(context.Background()) {
			if err != nil {
				t.Error(err)
			}
			entered <- m.Text()
			<-end
		}
	}()
	return entered, end, over
}

// The body of a loop is waited for as a hook is: its message counts as received, and does
// not come to the next client.
func TestCloseWaitsForTheBodyOfALoop(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2, WithDevice(7))
	s.say(1, User(2), "1")
	s.say(1, User(2), "2")
	entered, end, over := looping(t, c)
	if text := <-entered; text != "1" {
		t.Fatalf("the loop got %q", text)
	}
	closed := make(chan error, 1)
	go func() { closed <- c.Close(testContext(t)) }()
	<-c.quit
	if c.drained() {
		t.Error("the client has nothing to wait for while the body is running")
	}
	end <- struct{}{}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	<-over
	s.until("PUSHACK of 1", func() bool { return s.delivered(2, pair) == 1 })
	d := newDiary()
	join(t, s, 2, WithDevice(7), WithHandler(d.handler()))
	d.expect(t, "2")
}

func TestCloseHeedsItsContextWhileABodyRuns(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.say(1, User(2), "1")
	entered, end, over := looping(t, c)
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error, 1)
	go func() { closed <- c.Close(ctx) }()
	<-c.quit
	cancel()
	if err := <-closed; err != nil { // nothing was sent, so all of it is acked
		t.Error(err)
	}
	close(end)
	<-over
}

// Close by whoever would wait for himself returns, whatever its context is.
func TestCloseFromWithin(t *testing.T) {
	s := newServer(t)
	background := context.Background()
	for what, start := range map[string]func(done chan<- error) *Client{
		"the message hook": func(done chan<- error) *Client {
			return join(t, s, 2, WithHandler(Handler{Message: func(_ context.Context, c *Client, _ Message) error {
				done <- c.Close(background)
				return nil
			}}))
		},
		"the event hook": func(done chan<- error) *Client {
			c := offline(t, s.addr(), "user 2", WithHandler(Handler{Event: func(_ context.Context, c *Client, e Event) {
				if e.Kind == EventConnected {
					done <- c.Close(background)
				}
			}}))
			if err := c.Connect(testContext(t)); err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			return c
		},
		"the body of a loop": func(done chan<- error) *Client {
			c := join(t, s, 2)
			go func() {
				for range c.Messages(background) {
					done <- c.Close(background)
				}
			}()
			return c
		},
	} {
		done := make(chan error, 1)
		c := start(done)
		s.say(1, User(2), "x")
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case <-testContext(t).Done():
			t.Fatalf("%s waits for itself", what)
		}
		<-c.hooks.ended
	}
}

// A message counts as received when its hook returns, not with those that were handed over
// beside it.
func TestMessagesAreAckedOneByOne(t *testing.T) {
	s := newServer(t)
	store := new(memoryStore)
	entered, end := make(chan struct{}), make(chan struct{})
	c := join(t, s, 2, WithStore(store), WithHandler(Handler{Message: func(_ context.Context, _ *Client, m Message) error {
		if m.Text() == "2" {
			close(entered)
			<-end
			return errors.New("the process died")
		}
		return nil
	}}))
	s.whisper(1, User(2), "1")
	s.whisper(1, User(2), "2")
	s.say(1, User(2), "3") // all of them come in one page
	<-entered
	s.until("PUSHACK of 1", func() bool { return s.delivered(2, pair) == 1 })
	if have := store.loaded(t).received[User(1)]; have != 1 {
		t.Errorf("the store says that %d were received", have)
	}
	c.end(errors.New("crash"))
	<-c.ended
	close(end)
	<-c.hooks.ended
	d := newDiary()
	join(t, s, 2, WithStore(store), WithHandler(d.handler()))
	d.expect(t, "2", "3")
}

// A hook that outlives Close writes nothing to the store: the next client has it.
func TestCloseLeavesTheStoreToTheNextClient(t *testing.T) {
	s := newServer(t)
	store := &countingStore{FileStore: openStore(t, t.TempDir())}
	entered, end, over := make(chan bool, 1), make(chan bool), make(chan bool)
	c := join(t, s, 2, WithStore(store), WithHandler(Handler{Message: func(ctx context.Context, c *Client, m Message) error {
		entered <- true
		<-end
		return nil
	}}))
	go func() {
		<-c.hooks.ended
		close(over)
	}()
	s.say(1, User(2), "1")
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c.Close(ctx)
	before := store.appends.Load()
	close(end)
	<-over
	if n := store.appends.Load(); n != before {
		t.Errorf("%d appends after Close", n-before)
	}
	d := newDiary()
	join(t, s, 2, WithStore(store), WithHandler(d.handler()))
	d.expect(t, "1")
}

type countingStore struct {
	*FileStore
	appends atomic.Int64
}

func (s *countingStore) Append(records ...[]byte) error {
	s.appends.Add(1)
	return s.FileStore.Append(records...)
}
