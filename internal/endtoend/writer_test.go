package endtoend

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	gannet "gannet/sdk/go"
)

// writer sends numbered messages to one user and remembers the places that they got.
type writer struct {
	t      *testing.T
	user   uint64
	to     gannet.Target
	client *gannet.Client
	store  *gannet.FileStore
	window chan struct{}

	mu     sync.Mutex
	number uint64
	places map[uint64]uint64 // number, by seq
	last   uint64            // the highest seq
}

// newWriter logs a user in who keeps what is not acked over all deaths of the server.
func newWriter(t *testing.T, server *daemon, user, to uint64) *writer {
	t.Helper()
	store, err := gannet.NewFileStore(filepath.Join(t.TempDir(), fmt.Sprint("store-", user)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, err := gannet.Dial(ctx, server.address, sign(t, server.data, user), gannet.WithStore(store),
		gannet.WithBackoff(20*time.Millisecond, 200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{
		t: t, user: user, to: gannet.User(to), client: client, store: store,
		window: make(chan struct{}, 4), places: map[uint64]uint64{},
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := client.Close(ctx); err != nil {
			t.Errorf("writer %d: %v", user, err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// write sends the next message, with so many bytes after its number, as soon as the
// window has room.
func (w *writer) write(padding int) {
	w.window <- struct{}{}
	w.mu.Lock()
	w.number++
	number := w.number
	w.mu.Unlock()
	body := fmt.Appendf(nil, "%d %s", number, bytes.Repeat([]byte{'x'}, padding))
	sending, err := w.client.Post(w.t.Context(), w.to, gannet.Draft{Content: gannet.ContentText, Body: body})
	if err != nil {
		w.t.Errorf("writer %d, message %d: %v", w.user, number, err)
		<-w.window
		return
	}
	go func() {
		ack, err := sending.Wait(context.Background())
		if err == nil {
			w.took(number, ack.Seq)
		} else {
			w.t.Errorf("writer %d, message %d: %v", w.user, number, err)
		}
		<-w.window
	}()
}

func (w *writer) took(number, seq uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, taken := w.places[seq]; taken {
		w.t.Errorf("writer %d: messages %d and %d have seq %d", w.user, other, number, seq)
	}
	w.places[seq] = number
	w.last = max(w.last, seq)
}

// keepWriting writes until ctx ends, and waits for the acks.
func (w *writer) keepWriting(ctx context.Context) {
	for ctx.Err() == nil {
		w.write(20)
	}
	w.settle()
}

// settle waits until all is acked.
func (w *writer) settle() {
	for range cap(w.window) {
		w.window <- struct{}{}
	}
	for range cap(w.window) {
		<-w.window
	}
}

// acked gives how many messages are acked, and the highest seq.
func (w *writer) acked() (count int, last uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.places), w.last
}

// number of the message at seq.
func (w *writer) at(seq uint64) (number uint64, acked bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	number, acked = w.places[seq]
	return number, acked
}
