package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"gannet/sdk/go"
	"gannet/sdk/go/gannettest"
)

// The bot answers what comes while it runs and what came while it did not, once.
func TestEcho(t *testing.T) {
	s := gannettest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	alice, err := gannet.Dial(ctx, s.Address(), s.Token(1))
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close(ctx)
	dir := t.TempDir()
	for _, text := range []string{"sent before the first life", "sent before the second life"} {
		if _, err := alice.Send(ctx, gannet.User(2), gannet.Text(text)); err != nil {
			t.Fatal(err)
		}
		life, die := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- echo(life, s.Address(), s.Token(2), dir) }()
		loop, heard := context.WithCancel(ctx)
		for m, err := range alice.Messages(loop) {
			if err != nil || m.Text() != text || m.Sender != 2 {
				t.Errorf("came %q of %d, %v; want %q", m.Text(), m.Sender, err, text)
			}
			heard() // and the loop ends, this message received
		}
		heard()
		die()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the bot ends with %v", err)
		}
	}
	if err := echo(ctx, s.Address(), "no token", t.TempDir()); !errors.Is(err, gannet.CodeBadToken) {
		t.Errorf("without a token: %v", err)
	}
}
