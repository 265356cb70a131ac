package gannet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/protocol"
)

// balkyStore does something of its own in the place of Sync and Append where a test sets
// it.
type balkyStore struct {
	Store
	mu     sync.Mutex
	sync   func() error
	append func() error
}

func (s *balkyStore) balk(sync, append func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sync, s.append = sync, append
}

func (s *balkyStore) Sync() error {
	s.mu.Lock()
	sync := s.sync
	s.mu.Unlock()
	if sync != nil {
		return sync()
	}
	return s.Store.Sync()
}

func (s *balkyStore) Append(records ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.append != nil {
		return s.append()
	}
	return s.Store.Append(records...)
}

// A message that was appended when Sync failed may be there after a restart: Send says so,
// and does not say that it was not taken.
func TestAMessageWhoseSyncFailedIsUncertain(t *testing.T) {
	s := newServer(t)
	inner := new(memoryStore)
	store := &balkyStore{Store: inner}
	alice := join(t, s, 1, WithStore(store))
	store.balk(func() error { return errNoDisk }, nil)
	_, err := alice.Send(testContext(t), User(2), Text("perhaps"))
	if !errors.Is(err, ErrUncertain) || !errors.Is(err, errNoDisk) || errors.Is(err, ErrStore) {
		t.Errorf("Send: %v", err)
	}
	if _, err := alice.Send(testContext(t), User(2), Text("not at all")); !errors.Is(err, ErrStore) || errors.Is(err, ErrUncertain) {
		t.Errorf("a second Send: %v", err)
	}
	if err := alice.Close(testContext(t)); err != nil || s.seen(protocol.TypeSend) != 0 {
		t.Errorf("Close: %v after %d SENDs", err, s.seen(protocol.TypeSend))
	}
	d := newDiary()
	again := join(t, s, 1, WithStore(inner), WithHandler(d.handler()))
	if err := again.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	d.until(t, "its outcome", func() bool { return len(d.outcomes) == 1 })
	if m := s.conversations[pair].messages; len(m) != 1 || string(m[0].Body) != "perhaps" {
		t.Errorf("the server has %v", m)
	}
}

// A rewrite that fails comes after the message is in the old journal.
func TestAMessageWhoseRewriteFailedIsUncertain(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	store := openStore(t, dir)
	alice := join(t, s, 1, WithStore(store))
	inTheWay := filepath.Join(dir, "journal.new")
	if err := os.Mkdir(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	alice.journal.mu.Lock()
	alice.journal.limit = 1
	alice.journal.mu.Unlock()
	if _, err := alice.Send(testContext(t), User(2), Text("perhaps")); !errors.Is(err, ErrUncertain) || errors.Is(err, ErrStore) {
		t.Errorf("Send: %v", err)
	}
	crash(alice)
	store.Close()
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	again := join(t, s, 1, WithStore(openStore(t, dir)))
	if err := again.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if m := s.conversations[pair].messages; len(m) != 1 {
		t.Errorf("the server has %v", m)
	}
}

// Close may end while a message waits for the disk: what its sender hears is what the
// disk then says.
func TestCloseDuringASync(t *testing.T) {
	s := newServer(t)
	for what, test := range map[string]struct{ disk, send error }{
		"that fails":    {errNoDisk, ErrUncertain},
		"that succeeds": {nil, ErrKept},
	} {
		inner := new(memoryStore)
		store := &balkyStore{Store: inner}
		c := join(t, s, 1, WithStore(store))
		s.settled(t, c)
		entered, end := make(chan struct{}, 2), make(chan struct{})
		store.balk(func() error {
			entered <- struct{}{}
			<-end
			return test.disk
		}, nil)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		sent, posted := make(chan error), make(chan error)
		go func() {
			_, err := c.Send(testContext(t), User(2), Text("sent"))
			sent <- err
		}()
		<-entered
		go func() {
			h, err := c.Post(testContext(t), User(2), Text("posted"))
			if err == nil {
				_, err = h.Wait(testContext(t))
			}
			posted <- err
		}()
		<-entered
		if err := c.Close(over); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Close: %v", what, err)
		}
		close(end)
		for _, err := range []error{<-sent, <-posted} {
			if !errors.Is(err, test.send) {
				t.Errorf("%s: %v, want %v", what, err, test.send)
			}
		}
	}
}

// An app that only receives hears that its store fails: by one event, and in its log at
// most once a second.
func TestAStoreThatFailsWhileReceivingIsHeard(t *testing.T) {
	s := newServer(t)
	store := &balkyStore{Store: new(memoryStore)}
	d := newDiary()
	var lines safeBuffer
	bob := join(t, s, 2, WithStore(store), WithHandler(d.handler()), WithLogger(slog.New(slog.NewTextHandler(&lines, nil))))
	s.say(1, User(2), "0")
	d.until(t, "the first message", func() bool { return len(d.messages) == 1 })
	s.until("its PUSHACK", func() bool { return s.delivered(2, pair) == 1 })
	began := time.Now()
	store.balk(nil, func() error { return errNoDisk })
	for i := range 300 {
		s.say(1, User(2), strconv.Itoa(i+1))
	}
	d.until(t, "messages and the event", func() bool { return len(d.messages) == 301 && d.count(EventStoreFailed) > 0 })
	s.until("PUSHACK of all", func() bool { return s.delivered(2, pair) == 301 })
	if err := bob.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	n, most := strings.Count(lines.String(), "gannet: store failed"), 2+int(time.Since(began)/time.Second)
	if n < 1 || n > most || !strings.Contains(lines.String(), errNoDisk.Error()) {
		t.Errorf("%d lines, at most %d are in order:\n%s", n, most, lines.String())
	}
	for _, e := range d.events {
		if e.Kind == EventStoreFailed && (!errors.Is(e.Err, ErrStore) || !errors.Is(e.Err, errNoDisk)) {
			t.Errorf("the event says %v", e.Err)
		}
	}
	if k := d.count(EventStoreFailed); k != 1 {
		t.Errorf("%d events", k)
	}
}

// safeBuffer may be written to by any number of goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
