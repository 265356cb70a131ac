package command

import (
	"errors"
	"strings"
	"testing"

	gannet "gannet/sdk/go"
)

// What the server refuses for good is said and counts, also of an earlier chat; read is
// said of what was acked alone, once.
func TestScreenTellsOutcomes(t *testing.T) {
	var out, notes strings.Builder
	s := newScreen(1, 2, true, &out, &notes)
	first, second, third := s.say("first"), s.say("second"), s.say("third")
	if first >= second || second >= third {
		t.Errorf("ids do not rise: %d, %d, %d", first, second, third)
	}
	to := gannet.User(2)
	ack := func(id, seq uint64) {
		s.outcome(t.Context(), nil, gannet.Outcome{ID: id, To: to, Ack: gannet.Ack{ID: id, Seq: seq}})
	}
	ack(first, 7)
	ack(third, 9)
	s.outcome(t.Context(), nil, gannet.Outcome{ID: second, To: to, Err: &gannet.Error{Code: gannet.CodeBadTarget}})
	s.outcome(t.Context(), nil, gannet.Outcome{ID: 5, To: to, Err: errors.New("too late")})
	c, err := gannet.New("127.0.0.1:1", "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, read := range []uint64{6, 7, 7, 9} {
		s.receipt(t.Context(), c, gannet.Receipt{Conversation: to, User: 2, Read: read})
	}
	s.receipt(t.Context(), c, gannet.Receipt{Conversation: gannet.User(3), User: 3, Read: 20})
	err = s.sum()
	if err == nil || err.Error() != "lines that were not sent: 2" {
		t.Errorf("the chat ends with %v", err)
	}
	want := []string{"* acked: first", "* acked: third", "! not sent: second (", "! not sent: a line of the chat before (too late)", "* read by 2: first", "* read by 2: third", ""}
	lines := strings.Split(notes.String(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("it says %q", lines)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d is %q, want %q", i, line, want[i])
		}
	}
	if out.Len() > 0 {
		t.Errorf("messages are shown that nobody sent: %q", out.String())
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// In a pipe acks are summed up; what was read together is said once.
func TestScreenSumsUp(t *testing.T) {
	var out, notes strings.Builder
	s := newScreen(0, 2, false, &out, &notes)
	for seq := uint64(1); seq <= 3; seq++ {
		s.outcome(t.Context(), nil, gannet.Outcome{ID: s.say(strings.Repeat("long ", 20)), To: gannet.User(2), Ack: gannet.Ack{Seq: seq}})
	}
	c, err := gannet.New("127.0.0.1:1", "x")
	if err != nil {
		t.Fatal(err)
	}
	s.receipt(t.Context(), c, gannet.Receipt{Conversation: gannet.User(2), User: 2, Read: 3})
	if err := errors.Join(s.sum(), c.Close(t.Context())); err != nil {
		t.Error(err)
	}
	want := "* read by 2: " + strings.Repeat("long ", 8) + "…, and 2 lines before it\n* lines acked: 3\n"
	if notes.String() != want {
		t.Errorf("it says %q, want %q", notes.String(), want)
	}
}

// A connection that is lost before the history is there holds up no line that is typed.
func TestScreenTakesLinesWithoutHistory(t *testing.T) {
	var out, notes strings.Builder
	s := newScreen(0, 2, true, &out, &notes)
	s.history = 10
	c, err := gannet.New("127.0.0.1:1", "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []gannet.EventKind{gannet.EventConnected, gannet.EventLost, gannet.EventConnected, gannet.EventCaughtUp} {
		select {
		case <-s.ready:
			if kind == gannet.EventLost {
				t.Error("lines are taken before the history could be had")
			}
		default:
			if kind == gannet.EventCaughtUp {
				t.Error("no lines are taken")
			}
		}
		s.event(t.Context(), c, gannet.Event{Kind: kind, Err: errors.New("gone")})
	}
	want := "* connected as user 0, chatting with 2\n* connection lost, trying again (gone)\n! no history: gone\n* connected again\n"
	if notes.String() != want {
		t.Errorf("it says %q, want %q", notes.String(), want)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
