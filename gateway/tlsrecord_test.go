package gateway

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"

	"gannet/protocol"
)

// halting is a connection below TLS that keeps back what is written to it beyond so many
// bytes.
type halting struct {
	net.Conn
	armed bool
	left  int
	kept  []byte
}

func (h *halting) Write(p []byte) (int, error) {
	n := len(p)
	if h.armed {
		n = min(n, h.left)
		h.left -= n
		h.kept = append(h.kept, p[n:]...)
	}
	if _, err := h.Conn.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// halt sends a SEND of a whole record, of which so many bytes go out.
func (h *halting) halt(p *peer, id uint64, bytes int) {
	h.armed, h.left = true, bytes
	p.send(sendFrame(9, id, string(make([]byte, 15<<10))))
}

// goOn sends the rest.
func (h *halting) goOn(t *testing.T) {
	t.Helper()
	if _, err := h.Conn.Write(h.kept); err != nil {
		t.Fatal(err)
	}
	h.armed, h.kept = false, nil
}

// loginHalting is loginTLS over a connection that can be halted.
func (st *stage) loginHalting(user uint64, address string, config *tls.Config) (*halting, *peer) {
	st.t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { conn.Close() })
	h := &halting{Conn: conn}
	p := &peer{Conn: tls.Client(h, config), t: st.t}
	p.send(hello(user))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		st.t.Fatalf("login of %d: %v", user, f.Type)
	}
	p.conn = (<-st.logic.loggedIn).Conn
	for range 5 { // whole records that are in the way of nothing
		p.alive()
	}
	return h, p
}

// Records of TLS that are begun and not finished are in the budget of begun frames: where
// they were begun first the connection is closed, and who finishes his in time feels
// nothing.
func TestRecordsThatAreNeverFinished(t *testing.T) {
	const n, budget = 12, 120 << 10
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{BegunMemory: budget})
	address, pool := st.listenTLS()
	config := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", DynamicRecordSizingDisabled: true}
	var halted []*halting
	var peers []*peer
	for i := range uint64(n) {
		h, p := st.loginHalting(1+i, address, config)
		if held := st.stat("begun_bytes"); held > budget {
			t.Fatalf("%d bytes are held", held)
		}
		before, dropped := st.stat("begun_bytes"), st.stat("drop.begun")
		h.halt(p, 1, recordHeader+int(i)) // the header alone makes room for all of it
		st.eventually("it is charged, or others are closed for it", func() bool {
			return st.stat("begun_bytes") >= before+15<<10 || st.stat("drop.begun") > dropped
		})
		halted, peers = append(halted, h), append(peers, p)
		st.turn(tick)
		st.eventually("there is room", func() bool { return st.stat("begun_bytes") <= budget })
	}
	gone := int(st.stat("drop.begun"))
	if gone < n-budget/(15<<10) || gone >= n {
		t.Fatalf("%d of %d were closed", gone, n)
	}
	for _, p := range peers[:gone] {
		if code := p.closed(); code != protocol.CodeBusy {
			t.Errorf("closed with %v", code)
		}
	}
	for i, p := range peers[gone:] {
		halted[gone+i].goOn(t)
		p.answered(1, protocol.TypeSendAck)
		p.alive()
	}
	if held := st.stat("begun_bytes"); held != 0 {
		t.Errorf("%d bytes are said to be held when all records are whole", held)
	}
	halted[n-1].halt(peers[n-1], 2, 2) // amid a header
	st.eventually("it is charged", func() bool { return st.stat("begun_bytes") > 0 })
	peers[n-1].Close()
	halted[n-1].Conn.Close()
	st.eventually("it is gone", func() bool { return st.stat("connections") == uint64(n-gone-1) })
	if held := st.stat("begun_bytes"); held != 0 {
		t.Errorf("%d bytes are said to be held for nobody", held)
	}
}

// Where records begin and end is seen however their bytes come.
func TestRecord(t *testing.T) {
	stream := []byte{23, 3, 3, 0, 3, 'a', 'b', 'c', 23, 3, 3, 0, 0, 23, 3, 3, 1, 0}
	stream = append(stream, make([]byte, 256)...)
	ends := map[int]bool{0: true, 8: true, 13: true, len(stream): true}
	for step := 1; step <= len(stream); step++ {
		var r record
		for at := 0; at < len(stream); at += step {
			next := min(at+step, len(stream))
			r.pass(stream[at:next])
			if held := r.holds(make([]byte, 100)); (held == 0) != ends[next] || held != 0 && held < 101 {
				t.Fatalf("in steps of %d, %d bytes are held after %d", step, held, next)
			}
		}
	}
}

// A handshake of many bytes ends before crypto/tls has kept them all, and not only when
// its time is over.
func TestLongHandshake(t *testing.T) {
	withPipes(t, Config{}, func(t *testing.T, g *Gateway, l *pipes) {
		conn := l.dial()
		const size = 16 << 10
		first := make([]byte, recordHeader+size)
		copy(first, []byte{22, 3, 1, size >> 8, 0, 1, 0, 0xff, 0xff}) // a ClientHello of 64 KiB
		next := make([]byte, recordHeader+size)
		copy(next, []byte{22, 3, 1, size >> 8, 0})
		for _, b := range [][]byte{first, next, next[:recordHeader+size/2]} { // more is to come
			if _, err := conn.Write(b); err != nil {
				break // it has ended already
			}
		}
		synctest.Wait()
		if s := g.Stats(); s["failed_handshakes"] != 1 || s["places.taken"] != 0 {
			t.Errorf("it goes on: %d have failed, %d places are taken", s["failed_handshakes"], s["places.taken"])
		}
	})
}
