package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	gannet "gannet/sdk/go"
)

// A chat by hand begins with the last lines of history and all that was missed, in order
// and once each. Lines of this user's own that were missed are history.
func TestScreenBeginsWithTheLastLines(t *testing.T) {
	server, chat := chatServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var writers [3]*gannet.Client // by user
	for user := range uint64(3) {
		if user > 0 {
			c, err := gannet.Dial(ctx, server.Address(), tokenOf(t, server, user))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(ctx)
			writers[user] = c
		}
	}
	sent := 0
	for _, c := range []struct {
		from   uint64
		missed int
		shown  int
	}{{2, 12, 12}, {2, 3, historyLines + 3}, {2, 15, historyLines + 15}, {1, 4, historyLines}, {1, 14, 14}, {2, 1, historyLines + 1}} {
		for range c.missed {
			sent++
			if _, err := writers[c.from].Send(ctx, gannet.User(3-c.from), gannet.Text(fmt.Sprint("line ", sent, "."))); err != nil {
				t.Fatal(err)
			}
		}
		said := &notes{more: make(chan struct{}, 1)}
		input, typing := io.Pipe()
		done := make(chan error, 1)
		go func() { done <- chat(1, 2).chat(ctx, input, true, said, said) }()
		said.sees(t, fmt.Sprint("line ", sent, "."))
		typing.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var want, got strings.Builder
		for n := sent + 1 - c.shown; n <= sent; n++ {
			fmt.Fprintf(&want, "line %d.|", n)
		}
		for line := range strings.Lines(said.text.String()) {
			if _, text, ok := strings.Cut(strings.TrimSpace(line), ": line"); ok {
				got.WriteString("line" + text + "|")
			}
		}
		if got.String() != want.String() {
			t.Errorf("with %d missed of user %d it shows\n%s, want\n%s", c.missed, c.from, &got, &want)
		}
	}
}
