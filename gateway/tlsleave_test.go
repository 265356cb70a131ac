package gateway

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"gannet/internal/limiter"
	"gannet/protocol"
)

// refusing gives a stage that refuses everybody on a TLS listener.
func refusing(t *testing.T) *stage {
	t.Helper()
	l := newLimiter(time.Second)
	l.give(limiter.Connects, 0)
	st := newStage(t, newLogic(), Config{Limiter: l})
	st.address, _ = st.listenTLS()
	return st
}

// A ClientHello that comes after the refusal gets no reset: its client reads CLOSE and the
// end.
func TestRefusedBeforeItsHello(t *testing.T) {
	st := refusing(t)
	p := st.dial()
	st.eventually("it is told", func() bool { return st.stat("leaving") == 1 })
	for range 2 { // the second one would fail after a reset
		p.send(make([]byte, 1500))
	}
	if code, retry := p.turnedAway(); code != protocol.CodeAddressLimited || retry < time.Second {
		t.Errorf("closed with %v, to come after %v", code, retry)
	}
	if n, err := p.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after CLOSE it reads %d bytes and %v", n, err)
	}
	p.Close()
	st.eventually("it is gone", func() bool { return st.stat("leaving") == 0 })
}

// Whoever is refused and goes on sending, or says nothing, is read from for a while only,
// and a few at once.
func TestRefusedWhoStay(t *testing.T) {
	st := refusing(t)
	busy := st.dial()
	st.eventually("it is told", func() bool { return st.stat("leaving") == 1 })
	if err := busy.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for {
		n, err := busy.Write(make([]byte, 1<<10))
		sent += n
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("the connection stays")
		}
		if err != nil {
			break
		}
	}
	var silent []*peer
	for range leavesAtOnce + 10 {
		silent = append(silent, st.dial())
	}
	st.eventually("all are refused", func() bool { return st.stat("connect.address_rate") == leavesAtOnce+11 })
	if n := st.stat("leaving"); n > leavesAtOnce {
		t.Errorf("%d are read from at once", n)
	}
	st.eventually("all are gone", func() bool { return st.stat("leaving") == 0 })
	for _, p := range silent {
		if code := p.closed(); code != protocol.CodeAddressLimited {
			t.Fatalf("closed with %v", code)
		}
	}
}

// Of more than may be read from at once the others are closed, and counted.
func TestMoreRefusalsThanAreReadFrom(t *testing.T) {
	var l leaving
	for range leavesAtOnce {
		if !l.enter() {
			t.Fatal("one too few are read from")
		}
	}
	if l.enter() || l.now.Load() != leavesAtOnce || l.dropped.Load() != 1 {
		t.Errorf("%d are read from, %d dropped", l.now.Load(), l.dropped.Load())
	}
}
