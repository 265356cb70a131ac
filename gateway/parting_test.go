package gateway

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"gannet/protocol"
)

// What a client has on its way when it is closed does not turn into a reset that might
// cost it the CLOSE: it finds that, and the end behind it.
func TestCloseIsNotCutOffByWhatComesMeanwhile(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	s := st.sessions.get(p.conn)
	st.Kick(p.conn, protocol.CodeReplaced)
	st.eventually("CLOSE has gone out", func() bool {
		s.writing.Lock()
		defer s.writing.Unlock()
		return s.parting || s.released
	})
	for range 10 {
		read := st.stat("bytes_in")
		p.send(bytes.Repeat(ping(1), 1000))
		st.eventually("it is read away", func() bool { return st.stat("bytes_in") > read })
	}
	if f := p.next(); f.Type != protocol.TypeClose {
		t.Fatalf("came %v", f.Type)
	}
	if _, err := p.read(); !errors.Is(err, io.EOF) {
		t.Fatalf("behind CLOSE came %v", err)
	}
	p.Close()
	st.eventually("it is over", func() bool { return st.stat("connections") == 0 })
	if n := st.stat("close.replaced"); n != 1 {
		t.Errorf("%d are counted", n)
	}
}

// A client that does not go although it is closed is cut off, whether it goes on sending
// or does nothing.
func TestWhoDoesNotGoIsCutOff(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	idle, busy := st.login(1), st.login(2)
	for _, p := range []*peer{idle, busy} {
		st.Kick(p.conn, protocol.CodeReplaced)
		if f := p.next(); f.Type != protocol.TypeClose {
			t.Fatalf("came %v", f.Type)
		}
	}
	sent := 0
	for chunk := make([]byte, 64<<10); ; sent += len(chunk) {
		if _, err := busy.Write(chunk); err != nil {
			break
		}
	}
	st.eventually("both are gone", func() bool { return st.stat("connections") == 0 })
	if n := st.stat("bytes_in"); n > 4*partingBytes {
		t.Errorf("%d bytes were read of clients that were closed", n)
	}
}
