package gannet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gannet/protocol"
)

func TestMain(m *testing.M) {
	// The pollers of the examples' servers live as long as their process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"),
		goleak.IgnoreAnyFunction("github.com/patrickmn/go-cache.(*janitor).Run")) // of a library of the whole server, since the process began
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// join dials as a user, with short pauses, and closes at the end of the test.
func join(t testing.TB, s *server, user uint64, opts ...Option) *Client {
	t.Helper()
	return joinAt(t, s.addr(), user, opts...)
}

// joinAt is join for other addresses.
func joinAt(t testing.TB, addr string, user uint64, opts ...Option) *Client {
	t.Helper()
	opts = append([]Option{WithBackoff(time.Millisecond, 10*time.Millisecond)}, opts...)
	c, err := Dial(testContext(t), addr, fmt.Sprint("user ", user), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // at once: what a test wants to drain it drains
		c.Close(ctx)
	})
	return c
}

// diary notes what the hooks of a client are told.
type diary struct {
	mu       sync.Mutex
	changed  *sync.Cond
	messages []Message
	receipts []Receipt
	events   []Event
	outcomes []Outcome
}

func newDiary() *diary {
	d := new(diary)
	d.changed = sync.NewCond(&d.mu)
	return d
}

func (d *diary) handler() Handler {
	note := func(f func()) {
		d.mu.Lock()
		defer d.mu.Unlock()
		f()
		d.changed.Broadcast()
	}
	return Handler{
		Message: func(_ context.Context, _ *Client, m Message) error {
			note(func() { d.messages = append(d.messages, m) })
			return nil
		},
		Receipt: func(_ context.Context, _ *Client, r Receipt) {
			note(func() { d.receipts = append(d.receipts, r) })
		},
		Event:   func(_ context.Context, _ *Client, e Event) { note(func() { d.events = append(d.events, e) }) },
		Outcome: func(_ context.Context, _ *Client, o Outcome) { note(func() { d.outcomes = append(d.outcomes, o) }) },
	}
}

// until waits until cond, which is called with mu held, is true.
func (d *diary) until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		late = true
		d.changed.Broadcast()
	})
	defer timer.Stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	for !cond() {
		if late {
			t.Fatalf("waited in vain: %s; have %v", what, d.texts())
		}
		d.changed.Wait()
	}
}

// texts gives the bodies in the order of their arrival. The caller holds mu.
func (d *diary) texts() []string {
	var list []string
	for _, m := range d.messages {
		list = append(list, m.Text())
	}
	return list
}

// expect waits for as many messages as are named and compares them.
func (d *diary) expect(t testing.TB, want ...string) {
	t.Helper()
	d.until(t, fmt.Sprintf("messages %v", want), func() bool { return len(d.messages) >= len(want) })
	d.mu.Lock()
	defer d.mu.Unlock()
	if have := d.texts(); !slices.Equal(have, want) {
		t.Fatalf("received %v, want %v", have, want)
	}
}

// settled waits until the client has answered everything that the server wrote
// so far: frames are handled in order.
func (s *server) settled(t testing.TB, c *Client) {
	t.Helper()
	if _, err := c.ask(testContext(t), protocol.TypeDone, protocol.Cursor{Target: User(1 << 40).wire()}.AppendRead); err != nil {
		t.Fatal(err)
	}
}

// post takes a text.
func post(t testing.TB, c *Client, to Target, text string) *Sending {
	t.Helper()
	s, err := c.Post(testContext(t), to, Text(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kinds gives the kinds of the events that are not about catching up.
func (d *diary) kinds() []EventKind {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []EventKind
	for _, e := range d.events {
		if e.Kind != EventCaughtUp {
			list = append(list, e.Kind)
		}
	}
	return list
}

// last gives the last event of a kind.
func (d *diary) last(k EventKind) Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.events) - 1; i >= 0; i-- {
		if d.events[i].Kind == k {
			return d.events[i]
		}
	}
	return Event{}
}

// count gives how many events of a kind came. The caller holds mu, as until does.
func (d *diary) count(k EventKind) int {
	n := 0
	for _, e := range d.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

var pair = protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}

func TestSendAndReceive(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	bob := join(t, s, 2, WithHandler(d.handler()), WithPlatform(PlatformBot), WithName("test"))
	alice := join(t, s, 1)

	ack, err := alice.Send(testContext(t), User(2), Text("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if ack.Seq != 1 || ack.Time.IsZero() || ack.ID == 0 {
		t.Errorf("ack %+v", ack)
	}
	d.expect(t, "hello")
	m := d.messages[0]
	if m.Conversation != User(1) || m.Sender != 1 || m.Seq != 1 || m.Content != ContentText ||
		m.Device != alice.Device() || m.ID != ack.ID || !m.Time.Equal(ack.Time) {
		t.Errorf("message %+v", m)
	}
	if bob.User() != 2 || bob.State() != StateOnline || bob.Err() != nil {
		t.Errorf("user %d, %v, %v", bob.User(), bob.State(), bob.Err())
	}
	s.until("PUSHACK", func() bool { return s.delivered(2, pair) == 1 })
}

func TestHooksMaySendAndWait(t *testing.T) {
	s := newServer(t)
	join(t, s, 2, WithHandler(Handler{Message: func(ctx context.Context, bob *Client, m Message) error {
		_, err := bob.Send(ctx, m.Conversation, Text("re: "+m.Text()))
		return err
	}}))
	d := newDiary()
	alice := join(t, s, 1, WithHandler(d.handler()))
	for _, text := range []string{"a", "b", "c"} {
		post(t, alice, User(2), text)
	}
	d.expect(t, "re: a", "re: b", "re: c")
}

func TestOtherDevicesSeeWhatOneSends(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 1, WithHandler(d.handler()))
	phone := join(t, s, 1)
	if _, err := phone.Send(testContext(t), User(2), Text("from the phone")); err != nil {
		t.Fatal(err)
	}
	d.expect(t, "from the phone")
	if m := d.messages[0]; m.Conversation != User(2) || m.Sender != 1 || m.Device != phone.Device() {
		t.Errorf("message %+v", m)
	}
}

func TestReceipt(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 1, WithHandler(d.handler()))
	s.emit(protocol.Receipt{Target: User(1).wire(), User: 2, Device: 5, Delivered: 4, Read: 3}.AppendFrame(nil))
	d.until(t, "a receipt", func() bool { return len(d.receipts) == 1 })
	if want := (Receipt{Conversation: User(2), User: 2, Device: 5, Delivered: 4, Read: 3}); d.receipts[0] != want {
		t.Errorf("receipt %+v, want %+v", d.receipts[0], want)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 2, WithHandler(d.handler()))
	alice := join(t, s, 1, WithWindow(8))
	const senders, each = 16, 20
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for k := range each {
				if _, err := alice.Send(testContext(t), User(2), Text(fmt.Sprint(i, k))); err != nil {
					t.Error(err)
				}
				if k == each/2 && i == 0 {
					s.cut()
				}
			}
		})
	}
	wg.Wait()
	d.until(t, "all", func() bool { return len(d.messages) >= senders*each })
	for i, m := range d.messages {
		if m.Seq != uint64(i+1) {
			t.Fatalf("message %d has seq %d", i, m.Seq)
		}
	}
}
