package command

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gannet "gannet/sdk/go"
)

// chatServer starts a server for chats, and gives a chat of a user with another one.
func chatServer(t *testing.T) (s *Server, chat func(user, to uint64) *chatCmd) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	s, err := StartServer(slog.New(slog.DiscardHandler), "--data", data, "--listen", "127.0.0.1:0", "--sockets", "1", "--min-free", "0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, func(user, to uint64) *chatCmd {
		return &chatCmd{User: user, To: to, Address: s.Address(), Data: data}
	}
}

func tokenOf(t *testing.T, s *Server, user uint64) string {
	t.Helper()
	token, err := s.Token(user, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// The ids of lines rise whatever the clock does: a store may have used higher ones than
// the clock gives now.
func TestChatSendsAfterTheClockSteppedBack(t *testing.T) {
	s, chat := chatServer(t)
	c := chat(1, 2)
	c.Store = t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	store, err := gannet.NewFileStore(c.Store)
	if err != nil {
		t.Fatal(err)
	}
	client, err := gannet.Dial(ctx, c.Address, tokenOf(t, s, 1), gannet.WithStore(store))
	if err != nil {
		t.Fatal(err)
	}
	ahead := gannet.Text("when the clock was ahead")
	ahead.ID = uint64(time.Now().Add(time.Hour).UnixMicro())
	if _, err := client.Send(ctx, gannet.User(2), ahead); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	var out, notes strings.Builder
	if err := c.chat(ctx, strings.NewReader("one\ntwo\n"), false, &out, &notes); err != nil {
		t.Errorf("%v:\n%s", err, notes.String())
	}
	if !strings.Contains(notes.String(), "* lines acked: 2\n") {
		t.Errorf("it says %q", notes.String())
	}
}

// A chat with the token of another user than the one who is named ends before it touches
// the store: that belongs to nobody then, and is not there if it was not.
func TestChatOfTheWrongUserLeavesTheStoreAlone(t *testing.T) {
	s, chat := chatServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := chat(1, 2)
	c.Token, c.Store = tokenOf(t, s, 7), filepath.Join(t.TempDir(), "store")
	var out, notes strings.Builder
	err := c.chat(ctx, strings.NewReader("hello\n"), false, &out, &notes)
	if err == nil || !strings.Contains(err.Error(), "the token is user 7's, and --user says 1") {
		t.Errorf("it ends with %v", err)
	}
	if _, err := os.Stat(c.Store); !os.IsNotExist(err) {
		t.Errorf("the store was made: %v", err)
	}
	c.Token = tokenOf(t, s, 1)
	if err := c.chat(ctx, strings.NewReader("hello\n"), false, &out, &notes); err != nil {
		t.Errorf("the store is not for user 1: %v", err)
	}
	if out.Len() > 0 || !strings.Contains(notes.String(), "* lines acked: 1\n") {
		t.Errorf("it says %q and %q", out.String(), notes.String())
	}
}
