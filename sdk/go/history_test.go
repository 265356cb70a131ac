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
	for _, test := range []struct {
		opts HistoryOptions
		want []uint64
	}{
		{HistoryOptions{}, up},
		{HistoryOptions{From: 8}, up[7:]},
		{HistoryOptions{From: 11}, nil},
		{HistoryOptions{Backward: true}, down},
		{HistoryOptions{Backward: true, From: 3}, []uint64{3, 2, 1}},
	} {
		var have []uint64
		for m, err := range c.History(testContext(t), User(1), test.opts) {
			if err != nil {
				t.Fatal(err)
			}
			have = append(have, m.Seq)
			if m.Conversation != User(1) || m.Text() != fmt.Sprint(m.Seq-1) {
				t.Errorf("message %+v", m)
			}
		}
		if !slices.Equal(have, test.want) {
			t.Errorf("%+v: %v, want %v", test.opts, have, test.want)
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
	for m, err := range c.History(testContext(t), User(1), HistoryOptions{}) {
		if err != nil || m.Text() != "x" {
			t.Errorf("%v, %v", m, err)
		}
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
	var e *Error
	if err := c.MarkRead(testContext(t), User(1), 1); !errors.As(err, &e) || e.Code != protocol.CodeBadTarget {
		t.Errorf("MarkRead: %v", err)
	}
	for _, err := range c.History(testContext(t), User(1), HistoryOptions{}) {
		if !errors.As(err, &e) {
			t.Errorf("History: %v", err)
		}
	}
	for _, err := range c.Conversations(testContext(t)) {
		if !errors.As(err, &e) {
			t.Errorf("Conversations: %v", err)
		}
	}
	s.play(func(*peer, protocol.Frame) bool { return true })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.MarkRead(ctx, User(1), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("MarkRead with an ended context: %v", err)
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
	if err := c.MarkRead(testContext(t), User(10), 1); err != nil {
		t.Fatal(err)
	}
	var targets []Target
	for v, err := range c.Conversations(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
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
	want := []Target{User(10), User(11), User(12), User(13), User(14), Group(9)}
	if !slices.Equal(targets, want) {
		t.Errorf("targets %v, want %v", targets, want)
	}
}
