package gateway

import (
	"crypto/tls"
	"testing"

	"gannet/protocol"
)

// loginTLS is login over TLS.
func (st *stage) loginTLS(user uint64, address string, config *tls.Config) *peer {
	st.t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { conn.Close() })
	p := &peer{Conn: conn, t: st.t}
	p.send(hello(user))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		st.t.Fatalf("login of %d: %v", user, f.Type)
	}
	p.conn = (<-st.logic.loggedIn).Conn
	return p
}

// heldByTLS gives what all TLS connections hold, pending and under way.
func (st *stage) heldByTLS() (held uint64) {
	for _, s := range st.sessions.all() {
		t := s.transport.(*tlsTransport)
		t.mu.Lock()
		held += uint64(cap(t.pending) + len(t.under))
		t.mu.Unlock()
	}
	return held
}

// What TLS holds for clients that do not read is in the budget of all outboxes; beyond it
// each of them has a record at most. Who reads gets everything, and a client that reads
// again does too, without anybody turning the wheel.
func TestBudgetOfTLS(t *testing.T) {
	const n, budget = 12, 200 << 10
	st := newStage(t, newLogic(), Config{OutboxMemory: budget}) // two sockets that are blocked use it up
	address, pool := st.listenTLS()
	config := &tls.Config{RootCAs: pool}
	var deaf []*peer
	var conns []uint64
	for i := range uint64(n) {
		p := st.loginTLS(1+i, address, config)
		deaf, conns = append(deaf, p), append(conns, p.conn)
	}
	reader := st.loginTLS(100, address, config)
	for seq := uint64(1); st.stat("blocked") < n; seq++ {
		st.push([]delivery{{Frame: pushFrame(251, 1, seq, 8<<10), Conns: conns}})
		st.settled()
	}
	held := st.heldByTLS()
	if most := uint64(budget + 2*tlsPending + n*2*tlsPressed); held > most {
		t.Errorf("TLS holds %d KiB for clients that do not read, want at most %d", held>>10, most>>10)
	}
	if said := st.stat("blocked_bytes"); said < held {
		t.Errorf("TLS holds %d bytes, and %d are said to wait", held, said)
	}
	if !st.memory.exceeded() {
		t.Fatal("the budget is not used up")
	}
	for seq := uint64(1); seq <= 5; seq++ {
		st.push([]delivery{{Frame: pushFrame(251, 100, seq, protocol.MaxBody), Conns: []uint64{reader.conn}}})
		var m protocol.Message
		if f := reader.next(); m.Decode(f.Payload) != nil || f.Type != protocol.TypePush || m.Seq != seq {
			t.Fatalf("a client that reads got %v %d", f.Type, m.Seq)
		}
		st.settled()
	}
	reader.alive()
	for _, p := range deaf {
		p.alive()
	}
	st.eventually("nothing is held", func() bool { return st.stat("blocked_bytes") == 0 && st.stat("blocked") == 0 })
}

// A TLS connection that ends with something held gives it back to the budget.
func TestTLSThatEndsGivesBack(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	address, pool := st.listenTLS()
	p := st.loginTLS(1, address, &tls.Config{RootCAs: pool})
	flood(st, p)
	if st.stat("blocked_bytes") < tlsPending {
		t.Fatal("it holds nothing")
	}
	st.sessions.get(p.conn).breakOff()
	st.eventually("it is gone", func() bool { return st.stat("connections") == 0 })
	if n := st.stat("blocked_bytes"); n != 0 {
		t.Errorf("%d bytes are said to wait for nobody", n)
	}
}
