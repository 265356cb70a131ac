package attack

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/benchmark/process"
	"gannet/benchmark/yardstick"
	"gannet/protocol"
)

// patience is how long a loaded machine may take for anything.
const patience = time.Minute

// echo starts a patient echo server and gives its address.
func echo(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := (&yardstick.EchoServer{ReadyFile: file, Patient: true}).Run(ctx, io.Discard, io.Discard); err != nil {
			t.Errorf("the echo ended: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	var ready process.Ready
	await(t, "an echo that listens", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(b, &ready) == nil
	})
	return ready.Listen
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("after %v there is not %s", patience, what)
		}
	}
}

// Beside an echo, what comes back is what was sent.
func TestEveryAttackSaysWhatItSays(t *testing.T) {
	says := map[string]protocol.Type{
		"large-bodies": protocol.TypeSend, "disk": protocol.TypeSend, "syncs-and-reset": protocol.TypeHello, "history": protocol.TypeHistory,
		"history-unread": protocol.TypeHello, "old-ids": protocol.TypeSend, "repeated-ids": protocol.TypeSend,
		"strangers": protocol.TypeRead, "devices": protocol.TypePushAck, "deaf-readers": protocol.TypeSend, "deaf-beyond-memory": protocol.TypeSend,
		"slow-readers": protocol.TypeSend, "tls-deaf-readers": protocol.TypeSend, "tls-records": protocol.TypeHello, "begun-frames": protocol.TypeHello, "garbage": protocol.TypeHello, "new-conversations": protocol.TypeSend,
		"pings": protocol.TypePing, "refused-sends": protocol.TypeSend,
	}
	address := echo(t)
	for _, a := range All() {
		t.Run(a.Name, func(t *testing.T) {
			s := NewSite(Victim{Address: address, Seed: 1, Short: true})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			over := make(chan struct{})
			go func() {
				defer close(over)
				a.play(ctx, s)
			}()
			select {
			case <-s.began:
			case <-time.After(patience):
				t.Fatal("it does not begin")
			}
			if a.Name == "nothing" {
				cancel()
				<-over
				return
			}
			await(t, "a socket", func() bool { return s.tally.sockets.Load() > 0 })
			if f, ok := says[a.Name]; ok {
				await(t, f.String(), func() bool { return s.tally.frames[f].Load() > 0 })
			}
			cancel()
			select {
			case <-over:
			case <-time.After(patience):
				t.Fatal("it does not end")
			}
			if n := s.tally.sockets.Load(); n == 0 || a.Name == "silent" && n < 200 {
				t.Errorf("%d sockets", n)
			}
		})
	}
}

func TestAPlayerTellsWhatItGot(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := process.Command{Executable: own, Args: []string{playerArgument}}
	playing, err := Play(t.Context(), command, Player{Name: "pings", Address: echo(t), Seed: 1, Short: true})
	if err != nil {
		t.Fatal(err)
	}
	got, err := playing.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if got["sockets"] != 2 || got["HELLO"] != 2 {
		t.Errorf("it got %v", got)
	}
	if _, err := os.Stat(playing.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", playing.dir, err)
	}
	if _, err := Play(t.Context(), command, Player{Name: "kindness", Address: "127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "no attack") {
		t.Errorf("an attack that there is not: %v", err)
	}
}

// Nobody listens there, and the attack begins all the same.
func TestARefusalIsCounted(t *testing.T) {
	s := NewSite(Victim{Address: "127.0.0.1:1", Seed: 1, Short: true})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		pings(ctx, s)
	}()
	await(t, "a refusal", func() bool { return s.tally.got()["connect refused"] > 0 })
	<-s.began
	cancel()
	<-over
	if n := s.tally.got()["sockets"]; n != 0 {
		t.Errorf("%d sockets", n)
	}
}

func TestWhatWasGot(t *testing.T) {
	var y tally
	split := func(b []byte) protocol.Frame {
		f, n, err := protocol.Split(b, protocol.MaxFrame)
		if err != nil || n == 0 {
			t.Fatalf("%d, %v", n, err)
		}
		return f
	}
	for range 3 {
		y.frame(split(protocol.Failure{Code: protocol.CodeBusy}.AppendError(nil, 1)))
	}
	y.frame(split(protocol.Failure{Code: protocol.CodeNotReading}.AppendClose(nil)))
	y.frame(split(protocol.AppendEmpty(nil, protocol.TypePong, 1)))
	y.frame(split(protocol.Frame{Type: protocol.TypeError}.Append(nil)))
	y.ended("login ", io.EOF)
	y.ended("", os.ErrDeadlineExceeded) // the attacker's own end
	got := y.got()
	want := Got{"busy": 3, "CLOSE not_reading": 1, "PONG": 1, "unreadable ERROR": 1, "login ended": 1}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %d, want %d", name, got[name], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
}

// The server and the echo get the same bytes, and so does every server.
func TestASeedSaysTheSame(t *testing.T) {
	same := func(seed uint64) string {
		s := NewSite(Victim{Seed: seed})
		var b []byte
		for range 20 {
			b = append(b, nonsense(s.random(1), hello("token", 1))...)
		}
		return string(b)
	}
	if first := same(1); same(1) != first {
		t.Error("the same seed says something else")
	}
	if same(1) == same(2) {
		t.Error("another seed says the same")
	}
}
