package gannet

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"gannet/protocol"
)

// readable is a token that says whose it is.
func readable(user uint64) string {
	return "x." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"sub":"%d","exp":1}`, user)) + ".x"
}

func TestTokensThatCanBeRead(t *testing.T) {
	for token, want := range map[string]uint64{
		readable(7): 7, "user 7": 0, "": 0, "a.b.c": 0, "a.?.c": 0,
		"x." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"seven"}`)) + ".x": 0,
	} {
		if have := tokenUser(token); have != want {
			t.Errorf("%q is of user %d, want %d", token, have, want)
		}
	}
}

// owned gives a store that belongs to user 1 on the server.
func owned(t *testing.T, s *server) *memoryStore {
	t.Helper()
	store := new(memoryStore)
	crash(join(t, s, 1, WithStore(store)))
	return store
}

// offline makes a client that is not connected.
func offline(t *testing.T, addr, token string, opts ...Option) *Client {
	t.Helper()
	c, err := New(addr, token, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bodies gives what was said between users 1 and 2, and by whom.
func (s *server) bodies() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.conversation(pair).messages {
		list = append(list, fmt.Sprint(m.Sender, ": ", string(m.Body)))
	}
	return list
}

func TestNewRefusesTheStoreOfAnotherUser(t *testing.T) {
	s := newServer(t)
	store := owned(t, s)
	records := len(store.records)
	for what, test := range map[string]struct {
		token string
		opts  []Option
	}{
		"by the token": {readable(2), nil},
		"by WithUser":  {"opaque", []Option{WithUser(2)}},
	} {
		_, err := New(s.addr(), test.token, append(test.opts, WithStore(store))...)
		var e *OwnerError
		if !errors.As(err, &e) || e.Kept.User != 1 || e.Given.User != 2 {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(store.records) != records {
		t.Error("something was written")
	}
	if _, err := New(s.addr(), "x", WithUser(0)); err == nil {
		t.Error("user 0 was taken")
	}
}

// What a stranger posts and marks before a login shows whose the store is goes nowhere,
// neither now nor when the owner comes; and the owner's outcomes wait for the owner.
func TestWhatAStrangerTakesIsDropped(t *testing.T) {
	s := newServer(t)
	store := owned(t, s)
	var j journal
	if err := j.load(store); err != nil {
		t.Fatal(err)
	}
	if err := j.append(
		record{kind: recordTaken, id: 5, target: User(2)}, settled(Outcome{ID: 5, To: User(2), Ack: Ack{ID: 5, Seq: 9, Time: milliseconds(1)}}),
	); err != nil {
		t.Fatal(err)
	}
	d := newDiary()
	stranger := offline(t, s.addr(), "user 2", WithStore(store), WithHandler(d.handler()))
	sent := post(t, stranger, User(1), "of the stranger")
	if err := stranger.MarkRead(User(1), 3); err != nil {
		t.Fatal(err)
	}
	var e *OwnerError
	if err := stranger.Connect(testContext(t)); !errors.As(err, &e) {
		t.Fatalf("Connect: %v", err)
	}
	if _, err := sent.Wait(testContext(t)); !errors.Is(err, ErrDropped) || !errors.As(err, &e) {
		t.Errorf("its message: %v", err)
	}
	<-stranger.hooks.ended
	if len(d.outcomes) != 1 || d.outcomes[0].ID != sent.ID() || !errors.Is(d.outcomes[0].Err, ErrDropped) {
		t.Errorf("its outcomes: %+v", d.outcomes)
	}
	if left := store.loaded(t); len(left.taken) != 1 || left.undecided() || len(left.reads) != 0 || left.user != 1 {
		t.Errorf("the store has %+v", left)
	}
	own := newDiary()
	alice := join(t, s, 1, WithStore(store), WithHandler(own.handler()))
	own.until(t, "the owner's outcome", func() bool { return len(own.outcomes) == 1 })
	if o := own.outcomes[0]; o.ID != 5 || o.Err != nil {
		t.Errorf("the owner hears %+v", o)
	}
	s.settled(t, alice)
	if said := s.bodies(); len(said) != 0 || s.seen(protocol.TypeRead) != 1 { // that of settled
		t.Errorf("the server has %q, and %d READs", said, s.seen(protocol.TypeRead))
	}
}

// A process that dies before its first login leaves what it took to the next client only
// if both have said that they are the same.
func TestWhatAnOfflineLifeTook(t *testing.T) {
	for what, test := range map[string]struct {
		token string
		opts  []Option
		addr  string // of the first life, "" for the server's
		again string // token of the second life, "" for the same
		sent  bool
	}{
		"said by WithUser":        {"user 1", []Option{WithUser(1)}, "", "", true},
		"said by nobody":          {"user 1", nil, "", "", false},
		"said of another address": {"user 1", []Option{WithUser(1)}, "127.0.0.1:1", "", false},
		"said by a stranger":      {"user 2", nil, "", "user 1", false},
	} {
		for _, closes := range []bool{false, true} {
			s := newServer(t)
			store := owned(t, s)
			addr := test.addr
			if addr == "" {
				addr = s.addr()
			}
			first := offline(t, addr, test.token, append(test.opts, WithStore(store))...)
			sent := post(t, first, User(2), "offline")
			if err := first.MarkRead(User(2), 7); err != nil {
				t.Fatal(err)
			}
			said := len(test.opts) > 0
			if closes {
				over, cancel := context.WithCancel(t.Context())
				cancel()
				first.Close(over)
				fate := map[bool]error{true: ErrKept, false: ErrDropped}[said]
				if _, err := sent.Wait(testContext(t)); !errors.Is(err, fate) {
					t.Errorf("%s: after Close: %v, want %v", what, err, fate)
				}
			}
			token := test.token
			if test.again != "" {
				token = test.again
			}
			d := newDiary()
			c, err := Dial(testContext(t), s.addr(), token, append(test.opts, WithStore(store), WithHandler(d.handler()))...)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if err := c.Flush(testContext(t)); err != nil {
				t.Error(err)
			}
			if list := s.bodies(); (len(list) == 1) != test.sent || test.sent && list[0] != "1: offline" {
				t.Errorf("%s: the server has %q", what, list)
			}
			if n := s.seen(protocol.TypeRead); (n == 1) != test.sent {
				t.Errorf("%s: %d READs", what, n)
			}
			if !closes || said { // else the first life told it
				d.until(t, "the outcome", func() bool { return len(d.outcomes) == 1 })
				if o := d.outcomes[0]; o.ID != sent.ID() || (o.Err == nil) != test.sent || !test.sent && !errors.Is(o.Err, ErrDropped) {
					t.Errorf("%s: outcome %+v", what, o)
				}
			}
			if err := c.Close(testContext(t)); err != nil {
				t.Error(err)
			}
			if left := store.loaded(t); len(left.taken) != 0 || left.undecided() || len(left.reads) != 0 {
				t.Errorf("%s: the store has %+v", what, left)
			}
		}
	}
}

func TestALoginAsAnotherThanWasSaid(t *testing.T) {
	s := newServer(t)
	c := offline(t, s.addr(), "user 2", WithUser(1))
	sent := post(t, c, User(3), "x")
	var e *OwnerError
	if err := c.Connect(testContext(t)); !errors.As(err, &e) || e.Kept.User != 1 || e.Given.User != 2 {
		t.Errorf("Connect: %v", err)
	}
	if _, err := sent.Wait(testContext(t)); !errors.Is(err, ErrDropped) {
		t.Errorf("its message: %v", err)
	}
	if n := s.seen(protocol.TypeSend); n != 0 {
		t.Errorf("%d SENDs", n)
	}
}

// A rewrite keeps apart what several lives have taken.
func TestClaimsSurviveARewrite(t *testing.T) {
	store := new(memoryStore)
	var j journal
	if err := j.load(store); err != nil {
		t.Fatal(err)
	}
	fill(t, &j)
	for i, user := range []uint64{0, 3, 0, 4} {
		id := uint64(100 + i)
		if err := j.append(
			record{kind: recordClaim, id: user, text: "somewhere"},
			record{kind: recordTaken, id: id, target: User(9), draft: Draft{ID: id}},
			record{kind: recordRead, target: User(9), seq: id},
		); err != nil {
			t.Fatal(err)
		}
	}
	want := *store.loaded(t)
	if err := j.rewrite(); err != nil {
		t.Fatal(err)
	}
	have := *store.loaded(t)
	if !reflect.DeepEqual(have, want) || len(have.claims()) != 4 || len(have.loose) != 4 {
		t.Errorf("after a rewrite %+v, want %+v", have, want)
	}
	have.decide()
	for _, k := range have.taken[len(have.taken)-4:] {
		if (k.settled == nil) != (k.id == 103) {
			t.Errorf("message %d became %+v", k.id, k.settled)
		}
	}
	if have.reads[User(9)] != 103 || have.undecided() {
		t.Errorf("it has %+v", have)
	}
}
