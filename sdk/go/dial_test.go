package gannet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"gannet/protocol"
)

// refuse makes the server answer HELLO so, the first n times.
func (s *server) refuse(n int, f protocol.Failure) {
	s.play(func(p *peer, frame protocol.Frame) bool {
		if frame.Type != protocol.TypeHello || n == 0 {
			return false
		}
		n--
		p.close(f)
		return true
	})
}

func TestDialReturnsAtOnceOnAStopCode(t *testing.T) {
	s := newServer(t)
	_, err := Dial(testContext(t), s.addr(), "nonsense")
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeBadToken {
		t.Fatalf("error %v", err)
	}
}

func TestDialKeepsTryingWhenToldTo(t *testing.T) {
	s := newServer(t)
	s.refuse(3, protocol.Failure{Code: protocol.CodeLoginUnavailable, RetryAfter: 1})
	if c := join(t, s, 1); c.State() != StateOnline {
		t.Errorf("state %v", c.State())
	}
}

func TestDialKeepsTryingWhenRefused(t *testing.T) {
	s := newServer(t)
	attempts := 0
	dialer := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if attempts++; attempts < 3 { // nobody listens on port 1
			addr = "127.0.0.1:1"
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	join(t, s, 1, WithDialer(dialer))
}

func TestDialEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Dial(ctx, "127.0.0.1:1", "x", WithBackoff(time.Millisecond, time.Millisecond),
		WithHandler(Handler{Event: func(_ context.Context, _ *Client, e Event) {
			if e.Kind == EventFailed {
				cancel()
			}
		}}))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
}

func TestDialReturnsAtOnceWhenTryingIsNoUse(t *testing.T) {
	for _, addr := range []string{"no port", "127.0.0.1:99999"} {
		if _, err := Dial(testContext(t), addr, "x"); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", addr, err)
		}
	}
	source := errors.New("the token source is empty")
	_, err := Dial(testContext(t), "127.0.0.1:1", "",
		WithTokenSource(func(context.Context) (string, error) { return "", source }))
	if !errors.Is(err, source) {
		t.Errorf("token source: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, opt := range map[string]Option{
		"device 0":        WithDevice(0),
		"window 0":        WithWindow(0),
		"large window":    WithWindow(protocol.MaxUnacked + 1),
		"short heartbeat": WithHeartbeat(time.Millisecond),
		"no backoff":      WithBackoff(0, time.Second),
		"long name":       WithName(string(make([]byte, protocol.MaxText+1))),
	} {
		if _, err := Dial(testContext(t), "127.0.0.1:1", "x", opt); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHello(t *testing.T) {
	s := newServer(t)
	var hello protocol.Hello
	s.play(func(_ *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeHello {
			hello = decode[protocol.Hello](t, f.Payload)
		}
		return false
	})
	join(t, s, 1, WithDevice(77), WithPlatform(PlatformMobile), WithHeartbeat(90*time.Second), WithName("app 1.0"))
	if hello.Version != protocol.Version || string(hello.Token) != "user 1" || hello.Device != 77 ||
		hello.Platform != protocol.PlatformMobile || hello.Heartbeat != 90 || string(hello.Name) != "app 1.0" {
		t.Errorf("HELLO %+v", hello)
	}
}

func TestReconnectIsTold(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	join(t, s, 1, WithHandler(d.handler()))
	s.emit(protocol.Failure{Code: protocol.CodeDraining, RetryAfter: 1}.AppendClose(nil))
	d.until(t, "online again", func() bool { return d.count(EventConnected) == 2 })
	if want := []EventKind{EventConnected, EventLost, EventConnected}; !slices.Equal(d.kinds(), want) {
		t.Errorf("events %v, want %v", d.kinds(), want)
	}
	var e *Error
	if !errors.As(d.last(EventLost).Err, &e) || e.Code != CodeDraining || e.RetryAfter != time.Millisecond {
		t.Errorf("reason %v", d.last(EventLost).Err)
	}
}

func TestStopCodeClosesForGood(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	c := join(t, s, 1, WithHandler(d.handler()))
	s.settled(t, c)
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeSend })
	unanswered := post(t, c, User(2), "x")
	s.until("SEND", func() bool { return s.count(protocol.TypeSend) == 1 })
	s.emit(protocol.Failure{Code: protocol.CodeReplaced}.AppendClose(nil))
	d.until(t, "closed", func() bool { return d.count(EventEnded) == 1 })
	_, lost := unanswered.Wait(testContext(t))
	_, refused := c.Post(testContext(t), User(2), Text("x"))
	var e *Error
	if c.State() != StateClosed || !errors.As(c.Err(), &e) || e.Code != CodeReplaced {
		t.Errorf("state %v, error %v", c.State(), c.Err())
	}
	for what, err := range map[string]error{
		"the message under way": lost,
		"Post":                  refused,
		"MarkRead":              c.MarkRead(User(2), 1),
		"the last event":        d.last(EventEnded).Err,
		"Close":                 c.Close(testContext(t)),
	} {
		if !errors.Is(err, c.Err()) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A login that the client gave up may be carried out late and close the connection that it
// has made since: then the client comes back, and what it missed is there. A minute later
// it is another client that has replaced it.
func TestLoginOvertakenByAnEarlierOne(t *testing.T) {
	s := newServer(t)
	hellos := 0
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type != protocol.TypeHello {
			return false
		}
		if hellos++; hellos > 1 {
			return false
		}
		p.conn.Close() // it has been read, and is carried out some day
		return true
	})
	d := newDiary()
	c := join(t, s, 1, WithHandler(d.handler()))
	s.settled(t, c)
	s.emit(protocol.Failure{Code: protocol.CodeReplaced}.AppendClose(nil))
	d.until(t, "online again", func() bool { return d.count(EventConnected) == 2 })
	if c.Err() != nil || d.count(EventEnded) != 0 {
		t.Fatalf("state %v, error %v", c.State(), c.Err())
	}
	if e := d.last(EventLost); !errors.Is(e.Err, CodeReplaced) {
		t.Errorf("lost for %v", e.Err)
	}
	s.say(2, User(1), "x")
	d.expect(t, "x")
}

// What is too long ago has not replaced anybody.
func TestReplacedLongAfterAnUnansweredLogin(t *testing.T) {
	for ago, want := range map[time.Duration]bool{0: true, overtaken / 2: true, overtaken + time.Second: false} {
		c := &Client{}
		c.link.unanswered = time.Now().Add(-ago)
		if got := c.overtook(); got != want {
			t.Errorf("%v after a login that was not answered: %v", ago, got)
		}
		if c.overtook() {
			t.Errorf("%v after a login that was not answered it has replaced the client a second time", ago)
		}
	}
	if new(Client).overtook() {
		t.Error("without one")
	}
}

func TestExpiredTokenIsAskedForAnew(t *testing.T) {
	s := newServer(t)
	asked := 0
	source := WithTokenSource(func(context.Context) (string, error) {
		asked++
		return "user 1", nil
	})
	s.refuse(1, protocol.Failure{Code: protocol.CodeTokenExpired})
	d := newDiary()
	c := join(t, s, 9, source, WithHandler(d.handler()))
	if c.User() != 1 || asked != 2 {
		t.Errorf("user %d, token asked for %d times", c.User(), asked)
	}
	s.emit(protocol.Failure{Code: protocol.CodeTokenExpired}.AppendClose(nil))
	d.until(t, "online again", func() bool { return d.count(EventConnected) == 2 })
	if asked != 3 {
		t.Errorf("token asked for %d times, want 3", asked)
	}
}

func TestExpiredTokenWithoutSourceStops(t *testing.T) {
	s := newServer(t)
	s.refuse(1, protocol.Failure{Code: protocol.CodeTokenExpired})
	_, err := Dial(testContext(t), s.addr(), "user 1")
	var e *Error
	if !errors.As(err, &e) || e.Code != CodeTokenExpired {
		t.Fatalf("error %v", err)
	}
}

func TestTokenOfAnotherUserStops(t *testing.T) {
	s := newServer(t)
	users := 0
	d := newDiary()
	c := join(t, s, 0, WithHandler(d.handler()), WithTokenSource(func(context.Context) (string, error) {
		users++
		return fmt.Sprint("user ", users), nil
	}))
	s.cut()
	d.until(t, "closed", func() bool { return d.count(EventEnded) == 1 })
	var e *OwnerError
	if !errors.As(c.Err(), &e) || e.Kept.User != 1 || e.Given.User != 2 {
		t.Errorf("error %v", c.Err())
	}
}

func TestSilentServerIsLeft(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.heartbeat = 1
	s.play(func(p *peer, f protocol.Frame) bool { return f.Type == protocol.TypePing && p.login == 1 })
	d := newDiary()
	join(t, s, 1, WithHandler(d.handler()))
	d.until(t, "online again", func() bool { return d.count(EventConnected) == 2 })
	if !errors.Is(d.last(EventLost).Err, errNoPong) {
		t.Errorf("reason %v", d.last(EventLost).Err)
	}
}

func TestPingKeepsTheConnection(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.heartbeat = 1
	c := join(t, s, 1)
	s.until("PINGs", func() bool { return s.count(protocol.TypePing) == 3 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logins != 1 || c.State() != StateOnline {
		t.Errorf("%d logins, %v", s.logins, c.State())
	}
}

func TestCloseDrains(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	c := join(t, s, 1, WithHandler(d.handler()))
	s.settled(t, c)
	s.say(2, User(1), "acked in the end")
	d.expect(t, "acked in the end")
	var held []func()
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeSend {
			held = append(held, func() { s.answer(p, f) })
		}
		return f.Type == protocol.TypeSend
	})
	acked := post(t, c, User(2), "x")
	s.until("SEND", func() bool { return len(held) == 1 })
	closed := make(chan error)
	go func() { closed <- c.Close(testContext(t)) }()
	<-c.quit
	if _, err := c.Post(testContext(t), User(2), Text("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("Post during Close: %v", err)
	}
	select {
	case err := <-closed:
		t.Fatalf("Close returned before the ack: %v", err)
	default:
	}
	s.mu.Lock()
	held[0]()
	s.mu.Unlock()
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := acked.Wait(testContext(t)); err != nil {
		t.Errorf("the message: %v", err)
	}
	if err := c.Close(testContext(t)); err != nil || c.Err() != nil || c.State() != StateClosed {
		t.Errorf("second Close: %v; %v, %v", err, c.Err(), c.State())
	}
	s.until("the last PUSHACK", func() bool { return s.delivered(1, pair) >= 1 && len(s.peers) == 0 })
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 1)
	s.settled(t, c)
	s.play(func(_ *peer, f protocol.Frame) bool { return f.Type == protocol.TypeSend })
	told := post(t, c, User(2), "x")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	first := c.Close(ctx)
	if !errors.Is(first, context.Canceled) {
		t.Errorf("Close: %v", first)
	}
	if _, err := told.Wait(testContext(t)); !errors.Is(err, ErrAbandoned) {
		t.Errorf("the message: %v", err)
	}
	if again := c.Close(testContext(t)); again != first {
		t.Errorf("second Close: %v, want %v", again, first)
	}
}

func TestCloseWhileNobodyListens(t *testing.T) {
	s := newServer(t)
	d := newDiary()
	c := join(t, s, 1, WithHandler(d.handler()), WithBackoff(time.Hour, time.Hour))
	s.ln.Close()
	s.cut()
	d.until(t, "connecting", func() bool { return d.count(EventLost) == 1 })
	if err := c.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}
