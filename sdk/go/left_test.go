package gannet

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"gannet/protocol"
)

// A hook that ends its goroutine, as t.FailNow does, ends the client and hangs nobody.
func TestAHookThatDoesNotComeBack(t *testing.T) {
	c, p := peerConn(t, WithHandler(Handler{Message: func(context.Context, *Client, Message) error {
		runtime.Goexit()
		return nil
	}}))
	p.Write(protocol.Message{Target: protocol.Target{Kind: protocol.KindDirect, ID: 1}, Seq: 1, Sender: 2, Device: 2, ClientID: 1, Content: protocol.ContentText, Body: []byte("hello")}.AppendFrame(nil))
	<-c.Done()
	if err := c.Err(); !errors.Is(err, errHookLeft) {
		t.Errorf("the client ended with %v", err)
	}
	if err := c.Close(context.Background()); err != nil && !strings.Contains(err.Error(), "goroutine") {
		t.Errorf("Close: %v", err)
	}
}

// An open store is one client's, until that is closed.
func TestAStoreHasOneClient(t *testing.T) {
	store, err := NewFileStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	first, err := New("127.0.0.1:1", "x", WithStore(store), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New("127.0.0.1:1", "x", WithStore(store)); !errors.Is(err, ErrStore) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second client: %v", err)
	}
	if _, err := first.Post(t.Context(), User(2), Text("x")); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(t.Context()); !errors.Is(err, errNeverConnected) {
		t.Errorf("closed with %v", err)
	}
	second, err := New("127.0.0.1:1", "x", WithStore(store), WithDevice(first.device+1))
	if second != nil || !errors.As(err, new(*OwnerError)) {
		t.Fatalf("a store of another device is taken: %v", err)
	}
	third, err := New("127.0.0.1:1", "x", WithStore(store)) // what is refused does not keep it
	if err != nil {
		t.Fatal(err)
	}
	if err := third.MarkRead(Target{}, 3); !errors.As(err, new(*Error)) {
		t.Errorf("a read mark of no conversation: %v", err)
	}
	if err := third.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
