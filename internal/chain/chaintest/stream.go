// Package chaintest holds the suite that every adapter of chain.Stream must pass.
package chaintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"gannet/internal/chain"
)

// patient is how long something that should happen is waited for.
const patient = 30 * time.Second

// Setup says what the suite runs on.
type Setup struct {
	Stream chain.Stream
	Queues []chain.Queue // empty ones, at least one for each story (Stories) and one more

	// Age removes the records before the offset, as retention does. It is nil if the adapter
	// tests this itself.
	Age func(queue chain.Queue, before int64)
}

// Stories is how many queues the suite uses up; Setup.Queues has one more, which must stay empty.
const Stories = 6

// TestStream runs the suite.
func TestStream(t *testing.T, s Setup) {
	stories := []struct {
		name string
		run  func(t *testing.T, s Setup, queue chain.Queue)
	}{
		{"offsets rise by one and bodies come back", roundTrip},
		{"a pull waits at the end", pullWaits},
		{"a pull ends with its context", pullEnds},
		{"past the end is lagging", pastTheEnd},
		{"what nobody could send is refused", refused},
		{"many at once", manyAtOnce},
	}
	if len(stories) != Stories || len(s.Queues) < Stories+1 {
		t.Fatalf("there are %d queues for %d stories and one more", len(s.Queues), len(stories))
	}
	for i, story := range stories {
		t.Run(story.name, func(t *testing.T) { story.run(t, s, s.Queues[i]) })
	}
	t.Run("queues are apart", func(t *testing.T) {
		first, end, err := s.Stream.Bounds(t.Context(), s.Queues[Stories])
		for deadline := time.Now().Add(patient); err != nil && time.Now().Before(deadline); {
			first, end, err = s.Stream.Bounds(t.Context(), s.Queues[Stories])
		}
		if err != nil || first != 0 || end != 0 {
			t.Errorf("a queue that nobody used has bounds %d and %d (%v)", first, end, err)
		}
	})
}

func put(t *testing.T, s Setup, queue chain.Queue, body []byte) int64 {
	t.Helper()
	offset, err := s.Stream.Append(t.Context(), queue, body)
	if err != nil {
		t.Fatalf("Append says %v", err)
	}
	return offset
}

// pull pulls until it gets records. It tries again while the broker is lagging.
func pull(t *testing.T, s Setup, queue chain.Queue, from int64, limit int) []chain.Stored {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	for {
		got, err := s.Stream.Pull(ctx, queue, from, limit)
		if err == nil && len(got) > 0 {
			return got
		}
		if !errors.Is(err, chain.ErrLagging) {
			t.Fatalf("Pull from %d says %v with %d records", from, err, len(got))
		}
	}
}

func roundTrip(t *testing.T, s Setup, queue chain.Queue) {
	var bodies [][]byte
	for i, size := range []int{1, 100, 4097, 64 << 10, 128 << 10, 5} {
		body := bytes.Repeat([]byte{byte(i + 1)}, size)
		bodies = append(bodies, body)
		if offset := put(t, s, queue, body); offset != int64(i) {
			t.Fatalf("record %d has offset %d", i, offset)
		}
	}
	for from := range bodies {
		for next := from; next < len(bodies); {
			got := pull(t, s, queue, int64(next), len(bodies)-next)
			if len(got) > len(bodies)-next {
				t.Fatalf("%d records at offset %d, asked for %d", len(got), next, len(bodies)-next)
			}
			for _, stored := range got {
				if stored.Offset != int64(next) || !bytes.Equal(stored.Body, bodies[next]) {
					t.Fatalf("offset %d has %d bytes at %d", next, len(stored.Body), stored.Offset)
				}
				next++
			}
		}
	}
	if got := pull(t, s, queue, 1, 1); len(got) != 1 {
		t.Errorf("%d records where one was asked for", len(got))
	}
	for deadline := time.Now().Add(patient); ; {
		first, end, err := s.Stream.Bounds(t.Context(), queue)
		if err == nil && first == 0 && end == int64(len(bodies)) {
			break
		}
		if err == nil && (first != 0 || end > int64(len(bodies))) || time.Now().After(deadline) {
			t.Fatalf("the bounds are %d and %d (%v)", first, end, err)
		}
	}
	if s.Age == nil {
		return
	}
	s.Age(queue, 3)
	if first, _, err := s.Stream.Bounds(t.Context(), queue); err != nil || first != 3 {
		t.Errorf("after some went the queue begins at %d (%v)", first, err)
	}
	if _, err := s.Stream.Pull(t.Context(), queue, 2, 1); !errors.Is(err, chain.ErrRetention) {
		t.Errorf("what went gives %v", err)
	}
	if got := pull(t, s, queue, 3, 1); got[0].Offset != 3 {
		t.Errorf("what stayed comes from offset %d", got[0].Offset)
	}
}

func pullWaits(t *testing.T, s Setup, queue chain.Queue) {
	put(t, s, queue, []byte("first"))
	pull(t, s, queue, 0, 1)
	got := make(chan []chain.Stored)
	go func() { got <- pull(t, s, queue, 1, 9) }()
	select {
	case early := <-got:
		t.Fatalf("a pull from the end gives %v", early)
	case <-time.After(200 * time.Millisecond): // any time will do: nothing may come
	}
	put(t, s, queue, []byte("second"))
	if second := <-got; len(second) != 1 || second[0].Offset != 1 || string(second[0].Body) != "second" {
		t.Errorf("it gives %v", second)
	}
}

func pullEnds(t *testing.T, s Setup, queue chain.Queue) {
	put(t, s, queue, []byte("first"))
	pull(t, s, queue, 0, 1)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := s.Stream.Pull(ctx, queue, 1, 1)
			ended <- err
		}()
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it ends with %v", err)
			}
		case <-time.After(patient):
			t.Fatal("a pull outlives its context")
		}
	}
	put(t, s, queue, []byte("second"))
	if got := pull(t, s, queue, 1, 1); string(got[0].Body) != "second" {
		t.Errorf("the next pull gives %v", got)
	}
}

func pastTheEnd(t *testing.T, s Setup, queue chain.Queue) {
	put(t, s, queue, []byte("first"))
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	if got, err := s.Stream.Pull(ctx, queue, 1000, 1); !errors.Is(err, chain.ErrLagging) {
		t.Errorf("a pull from far past the end gives %v, %v", got, err)
	}
}

func refused(t *testing.T, s Setup, queue chain.Queue) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Stream.Append(ctx, queue, []byte("x")); !errors.Is(err, chain.ErrRefused) {
		t.Errorf("with a context that ended Append says %v", err)
	}
	if offset := put(t, s, queue, []byte("y")); offset != 0 {
		t.Errorf("what was refused is there: the next record has offset %d", offset)
	}
}

func manyAtOnce(t *testing.T, s Setup, queue chain.Queue) {
	const writers, each = 8, 20
	var mu sync.Mutex
	at := map[int64]string{}
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				body := fmt.Sprintf("%d of %d", i, w)
				offset, err := s.Stream.Append(t.Context(), queue, []byte(body))
				if err != nil {
					t.Errorf("Append says %v", err)
					return
				}
				mu.Lock()
				at[offset] = body
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for next := int64(0); next < writers*each && !t.Failed(); {
		for _, stored := range pull(t, s, queue, next, 32) {
			if stored.Offset != next || string(stored.Body) != at[next] {
				t.Fatalf("offset %d has %q, want %q at %d", stored.Offset, stored.Body, at[next], next)
			}
			next++
		}
	}
}
