package gannet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gannet/protocol"
)

func TestHistory(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	var up []uint64
	for i := range 10 {
		s.whisper(1, User(2), fmt.Sprint(i))
		up = append(up, uint64(i+1))
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	for name, test := range map[string]struct {
		options []HistoryOption
		want    []uint64
	}{
		"all":                       {nil, down},
		"after nothing":             {[]HistoryOption{After(0)}, up},
		"after 7":                   {[]HistoryOption{After(7)}, up[7:]},
		"after the last":            {[]HistoryOption{After(10)}, nil},
		"after all that can be":     {[]HistoryOption{After(1<<64 - 1)}, nil},
		"before 4":                  {[]HistoryOption{Before(4)}, []uint64{3, 2, 1}},
		"before the first":          {[]HistoryOption{Before(1)}, nil},
		"before nothing":            {[]HistoryOption{Before(0)}, nil},
		"before what is not there":  {[]HistoryOption{Before(20)}, down},
		"between":                   {[]HistoryOption{After(2), Before(9)}, up[2:8]},
		"between, the other order":  {[]HistoryOption{Before(9), After(2)}, up[2:8]},
		"between neighbours":        {[]HistoryOption{After(4), Before(5)}, nil},
		"the newest":                {[]HistoryOption{Limit(1)}, []uint64{10}},
		"more than a page":          {[]HistoryOption{Limit(historyPage + 1)}, down[:historyPage+1]},
		"a page before another one": {[]HistoryOption{Before(6), Limit(2)}, []uint64{5, 4}},
		"the oldest":                {[]HistoryOption{After(0), Limit(3)}, up[:3]},
		"none":                      {[]HistoryOption{Limit(0)}, nil},
	} {
		loop := c.History(testContext(t), User(1), test.options...)
		for range 2 { // each range begins anew
			var have []uint64
			for m, err := range loop {
				if err != nil {
					t.Fatal(err)
				}
				have = append(have, m.Seq)
				if m.Conversation != User(1) || m.Text() != fmt.Sprint(m.Seq-1) {
					t.Errorf("message %+v", m)
				}
			}
			if !slices.Equal(have, test.want) {
				t.Errorf("%s: %v, want %v", name, have, test.want)
			}
		}
	}
}

func TestHistoryOutlivesItsConnection(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.whisper(1, User(2), "x")
	s.play(func(p *peer, f protocol.Frame) bool {
		if f.Type == protocol.TypeHistory && p.login == 1 {
			p.conn.Close()
			return true
		}
		return false
	})
	n := 0
	for m, err := range c.History(testContext(t), User(1)) {
		if n++; err != nil || m.Text() != "x" {
			t.Errorf("%v, %v", m, err)
		}
	}
	if n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestRequestsFail(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 2)
	s.settled(t, c)
	refusals := 0
	s.play(func(p *peer, f protocol.Frame) bool {
		code := protocol.CodeBadTarget
		if refusals++; refusals == 1 {
			code = protocol.CodeBusy
		}
		p.write(protocol.Failure{Code: code, RetryAfter: 1}.AppendError(nil, f.Request))
		return true
	})
	n := 0
	for _, err := range c.History(testContext(t), User(1)) {
		if n++; !errors.Is(err, CodeBadTarget) {
			t.Errorf("History: %v", err)
		}
	}
	if n != 1 || refusals != 2 {
		t.Errorf("%d errors after %d refusals", n, refusals)
	}
	if _, err := c.Conversations(testContext(t), 10); !errors.Is(err, CodeBadTarget) {
		t.Errorf("Conversations: %v", err)
	}
	s.play(func(*peer, protocol.Frame) bool { return true })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Conversations(ctx, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("Conversations with an ended context: %v", err)
	}
}

func TestConversations(t *testing.T) {
	s := newServer(t)
	for i := range 5 {
		s.whisper(uint64(10+i), User(2), "hello")
	}
	s.whisper(10, Group(9), "all")
	c := join(t, s, 2, WithHandler(newDiary().handler()))
	if _, err := c.Send(testContext(t), User(12), Text("answer")); err != nil {
		t.Fatal(err)
	}
	s.whisper(12, User(2), "unread")
	if err := errors.Join(c.MarkRead(User(10), 1), c.Flush(testContext(t))); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.conversation(User(77).wire().Conversation(2)).changed = 1 // without a message
	s.mu.Unlock()
	want := []Target{User(12), Group(9), User(14), User(13), User(11), User(10), User(77)} // newest first
	for limit := range len(want) + 2 {
		list, err := c.Conversations(testContext(t), limit)
		if err != nil {
			t.Fatal(err)
		}
		var targets []Target
		for _, v := range list {
			targets = append(targets, v.Target)
			switch v.Target {
			case User(10):
				if v.Head != 1 || v.Read != 1 || v.Unread != 0 || v.PeerRead != 0 {
					t.Errorf("%+v", v)
				}
			case User(12):
				if v.Head != 3 || v.Read != 0 || v.Unread != 2 || v.LastSize != len("unread") || v.Last.Text() != "unread" || v.Last.Conversation != User(12) {
					t.Errorf("%+v", v)
				}
			}
		}
		if !slices.Equal(targets, want[:min(limit, len(want))]) {
			t.Errorf("the %d newest are %v, want %v", limit, targets, want)
		}
	}
}
