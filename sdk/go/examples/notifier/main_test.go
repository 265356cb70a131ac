package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"gannet/sdk/go"
	"gannet/sdk/go/gannettest"
)

func TestNotify(t *testing.T) {
	s := gannettest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := notify(ctx, s.Address(), s.Token(1), "the backup failed", []string{"7", "8"}); err != nil {
		t.Fatal(err)
	}
	for _, user := range []uint64{7, 8} {
		c, err := gannet.Dial(ctx, s.Address(), s.Token(user))
		if err != nil {
			t.Fatal(err)
		}
		for m, err := range c.Messages(ctx) {
			if err != nil || m.Text() != "the backup failed" || m.Sender != 1 {
				t.Errorf("user %d got %q of %d, %v", user, m.Text(), m.Sender, err)
			}
			break
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	err := notify(ctx, s.Address(), s.Token(1), "x", []string{"0", "nobody", "7"})
	if !errors.Is(err, gannet.CodeBadTarget) || !strings.Contains(err.Error(), "user 0") || !strings.Contains(err.Error(), "user nobody") || strings.Contains(err.Error(), "user 7") {
		t.Errorf("users who are none: %v", err)
	}
}
