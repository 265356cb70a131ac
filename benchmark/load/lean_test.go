//go:build linux

package load

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	"gannet/protocol"
)

// faultless runs a load of lean clients through the server.
func faultless(t *testing.T, s *fakeServer, window int) {
	t.Helper()
	l := runLoad(t, s, false, 4, window, 0)
	if count, first := l.Faults.List(); count > 0 {
		t.Errorf("%d faults: %q", count, first)
	}
	if n := l.Counts(); n.Acked == 0 || n.Delivered != n.Acked {
		t.Errorf("%d acked, %d delivered", n.Acked, n.Delivered)
	}
}

func TestALeanClientSendsAgainWhatWasRefused(t *testing.T) {
	s := newFakeServer(t, nil)
	seen := make(map[uint64]bool)
	var refused atomic.Int64
	s.answer = func(f protocol.Frame) ([]byte, bool) {
		var m protocol.Send
		if f.Type != protocol.TypeSend || m.Decode(f.Payload) != nil || m.ClientID%5 != 0 || seen[m.ClientID] {
			return nil, false
		}
		seen[m.ClientID] = true
		refused.Add(1)
		return protocol.Failure{Code: protocol.CodeBusy, RetryAfter: 1}.AppendError(nil, f.Request), true
	}
	faultless(t, s, 16)
	if refused.Load() == 0 {
		t.Error("nothing was refused")
	}
}

func TestALeanClientReportsWhatIsRefusedForGood(t *testing.T) {
	s := newFakeServer(t, nil)
	s.answer = func(f protocol.Frame) ([]byte, bool) {
		if f.Type != protocol.TypeSend {
			return nil, false
		}
		return protocol.Failure{Code: protocol.CodeBodyTooLarge, Text: []byte("no")}.AppendError(nil, f.Request), true
	}
	l := runLoad(t, s, false, 2, 1, 100)
	_, first := l.Faults.List()
	if all := strings.Join(first, "\n"); !strings.Contains(all, "message 1 was not acked: body_too_large: no") {
		t.Errorf("faults:\n%s", all)
	}
}

func TestALeanClientFetchesWhatAHintTellsOf(t *testing.T) {
	for name, hint := range map[string]func(m *protocol.Message) protocol.Cursor{
		"of a conversation": func(m *protocol.Message) protocol.Cursor {
			return protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: m.Sender}, Seq: m.Seq}
		},
		"of anything": func(*protocol.Message) protocol.Cursor { return protocol.Cursor{} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeServer(t, nil)
			var hints atomic.Int64
			s.push = func(m *protocol.Message) []byte {
				if m.Seq%3 != 0 {
					return m.AppendFrame(nil)
				}
				hints.Add(1)
				return hint(m).AppendHint(nil)
			}
			faultless(t, s, 8)
			if hints.Load() == 0 {
				t.Error("there was no hint")
			}
		})
	}
}

func TestALeanClientTakesAPushOnce(t *testing.T) {
	s := newFakeServer(t, nil)
	s.push = func(m *protocol.Message) []byte { return m.AppendFrame(m.AppendFrame(nil)) }
	faultless(t, s, 4)
}

// A message that the socket does not take at once is sent when it does.
func TestALeanClientWaitsForRoomInItsSocket(t *testing.T) {
	const window = 128 // 8 MiB: more than the 4 MiB to which a socket's buffer grows
	l, err := New(Config{Users: 2, Window: window, Size: protocol.MaxBody, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := newFakeServer(t, nil)
	var held atomic.Bool
	s.answer = func(f protocol.Frame) ([]byte, bool) {
		if f.Type == protocol.TypeSend && !held.Swap(true) {
			time.Sleep(300 * time.Millisecond) // nobody reads meanwhile
		}
		return nil, false
	}
	ctx := t.Context()
	if err := l.Open(ctx, s.server(), report.NewProgress(io.Discard)); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Start(0, 10*time.Millisecond)
	l.Send(ctx)
	l.AwaitQuiet(ctx)
	l.Close()
	l.Verify()
	if count, first := l.Faults.List(); count > 0 {
		t.Errorf("%d faults: %q", count, first)
	}
	// What waits for room goes out in one write.
	if n := l.Counts(); n.Acked < 2*window || n.Writes >= n.Acked {
		t.Errorf("%d messages of 64 KiB acked, %d writes: no socket was ever full", n.Acked, n.Writes)
	}
}

func TestALostLeanConnectionIsAFault(t *testing.T) {
	for name, last := range map[string][]byte{
		"with a CLOSE":     protocol.Failure{Code: protocol.CodeReplaced}.AppendClose(nil),
		"with a bad frame": {0, 0, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeServer(t, nil)
			s.push = func(m *protocol.Message) []byte { return last }
			l := runLoad(t, s, false, 2, 1, 0)
			_, first := l.Faults.List()
			if all := strings.Join(first, "\n"); !strings.Contains(all, "the connection was lost") {
				t.Errorf("faults:\n%s", all)
			}
			if n, _ := l.LostConnections(); n == 0 {
				t.Error("no connection counts as lost")
			}
		})
	}
}

func TestARefusedLoginIsSaid(t *testing.T) {
	l, err := New(Config{Users: 2, Window: 1, Size: 128, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := newFakeServer(t, nil)
	s.answer = func(f protocol.Frame) ([]byte, bool) {
		return protocol.Failure{Code: protocol.CodeBadToken, Text: []byte("old keys")}.AppendClose(nil), true
	}
	defer l.Close()
	err = l.Open(t.Context(), s.server(), report.NewProgress(io.Discard))
	if err == nil || !strings.Contains(err.Error(), "login: bad_token: old keys") {
		t.Errorf("the login failed with %v", err)
	}
}

// Whoever is told to come again does, after the time that it is told.
func TestALoginComesAgain(t *testing.T) {
	s := newFakeServer(t, nil)
	var refused atomic.Int64
	s.answer = func(f protocol.Frame) ([]byte, bool) {
		if f.Type != protocol.TypeHello || refused.Add(1) > 3 {
			return nil, false
		}
		return protocol.Failure{Code: protocol.CodeLoginUnavailable, RetryAfter: 1}.AppendClose(nil), true
	}
	l, err := New(Config{Users: 2, Window: 1, Size: 128, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Open(t.Context(), s.server(), report.NewProgress(io.Discard)); err != nil {
		t.Fatal(err)
	}
	if got := l.loginsAgain.Load(); got != 3 || l.online.Load() != 2 {
		t.Errorf("%d logins came again, %d users are online", got, l.online.Load())
	}
}

func TestALoginIsGivenUpWhenItsContextEnds(t *testing.T) {
	l, err := New(Config{Users: 2, Window: 1, Size: 128, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := newFakeServer(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	s.answer = func(protocol.Frame) ([]byte, bool) {
		cancel() // and no answer at all
		return nil, true
	}
	defer l.Close()
	began := time.Now()
	err = l.Open(ctx, s.server(), report.NewProgress(io.Discard))
	if !errors.Is(err, context.Canceled) || time.Since(began) > LoginTimeout/2 {
		t.Errorf("the login ended after %v with %v", time.Since(began), err)
	}
}

// A client that has nothing to say acks and pings all the same.
func TestAQuietLeanClientAcksAndPings(t *testing.T) {
	l, err := New(Config{Users: 2, Window: 1, Size: 128, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := newFakeServer(t, nil)
	s.heartbeat = 1
	var acks, pings atomic.Int64
	s.answer = func(f protocol.Frame) ([]byte, bool) {
		switch f.Type {
		case protocol.TypePushAck:
			acks.Add(1)
		case protocol.TypePing:
			pings.Add(1)
		}
		return nil, false
	}
	ctx := t.Context()
	if err := l.Open(ctx, s.server(), report.NewProgress(io.Discard)); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Start(0, time.Millisecond)
	l.Send(ctx)
	deadline := time.Now().Add(10 * time.Second)
	for (acks.Load() < 2 || pings.Load() < 2) && time.Now().Before(deadline) {
		_ = meter.Rest(ctx, quietPoll)
	}
	if acks.Load() < 2 || pings.Load() < 2 {
		t.Errorf("%d acks and %d pings of two users in ten seconds", acks.Load(), pings.Load())
	}
}
