package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"gannet/protocol"
)

// settled waits until no session is with its writer.
func (st *stage) settled() {
	st.t.Helper()
	st.eventually("the writers are done", func() bool {
		for _, s := range st.sessions.all() {
			s.writing.Lock()
			s.mu.Lock()
			busy := s.listed
			s.mu.Unlock()
			s.writing.Unlock()
			if busy {
				return false
			}
		}
		return true
	})
}

// heap gives the bytes that are in use, and those that were ever allocated.
func heap() (used, ever uint64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.TotalAlloc
}

// stopped logs many clients in, which then read nothing, and fills their sockets.
func (st *stage) stopped(n int) (conns []uint64) {
	st.t.Helper()
	for i := range n {
		p := st.login(uint64(i%250 + 1))
		p.buffer(4 << 10)
		conns = append(conns, p.conn)
	}
	frame := pushFrame(251, 1, 1, 8<<10)
	for st.stat("blocked") < uint64(n) {
		st.push([]delivery{{Frame: frame, Conns: conns}})
		st.settled()
	}
	return conns
}

// 500 clients that never read: what is held for them is a small part of what was
// pushed to them, of the batches that it came in nothing is held, their sockets cost no
// writes, and who reads beside them gets everything as a push.
func TestReadersThatStop(t *testing.T) {
	const n, rounds, size, batch = 500, 200, 2 << 10, 512 << 10
	l := newLogic()
	l.silence = time.Minute
	st := newStage(t, l, Config{})
	reader := st.login(252)
	before, _ := heap()
	conns := st.stopped(n)
	st.turn(blockedGrace + tick)
	st.settled()

	read := make(chan error, 1)
	go func() {
		for seq := uint64(1); seq <= rounds; seq++ {
			f, err := reader.read()
			var m protocol.Message
			if err != nil || f.Type != protocol.TypePush || m.Decode(f.Payload) != nil || m.Seq != seq {
				read <- fmt.Errorf("came %v %d, want PUSH %d: %w", f.Type, m.Seq, seq, err)
				return
			}
		}
		read <- nil
	}()
	for seq := uint64(1); seq <= rounds; seq++ {
		p := pushOf([]delivery{{Frame: pushFrame(253, 252, seq, size), Conns: append(conns, reader.conn)}})
		p.Blob = append(p.Blob, make([]byte, batch)...) // what else was in the batch
		st.Push(t.Context(), p)
		if seq%50 == 0 {
			st.settled() // the reader's kernel has room again
		}
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	held, ever := heap()
	if most := before + n*(blockedBytes+16<<10); held > most {
		t.Errorf("%d KiB in use, %d KiB before", held>>10, before>>10)
	}
	if n := st.stat("blocked_bytes"); n > 500*(blockedBytes+16<<10) || n == 0 {
		t.Errorf("%d bytes are said to wait", n)
	}

	writes := st.stat("writes")
	const pause = 20 * time.Second
	st.turn(pause)
	st.settled()
	if n := st.stat("writes") - writes; n > 500*uint64(int64(pause/tick)/probeTicks+1) {
		t.Errorf("%d writes to sockets that take nothing", n)
	}
	if _, now := heap(); now-ever > 8<<20 {
		t.Errorf("%d KiB were allocated for sockets that take nothing", (now-ever)>>10)
	}
	reader.alive()
	st.turn(writeTimeout - pause)
	st.settled()
	st.turn(goodbyeTimeout + tick)
	st.eventually("they are gone", func() bool { // some of them only now: a kernel had taken a last byte
		reader.alive()
		st.turn(time.Second)
		return st.stat("connections") == 1
	})
	if n := st.stat("close.write_timeout"); n != 500 {
		t.Errorf("%d were closed for it", n)
	}
	if n, bytes := st.stat("blocked"), st.stat("blocked_bytes"); n != 0 || bytes != 0 {
		t.Errorf("%d sockets, %d bytes are said to wait", n, bytes)
	}
	reader.alive()
}

// givesUp checks that a gateway that is pressed soon ends who takes nothing, and not one
// that reads.
func (st *stage) givesUp(reader *peer) {
	st.t.Helper()
	st.turn(2 * pressedTimeout)
	st.settled()
	st.turn(goodbyeTimeout + tick)
	st.eventually("room was made", func() bool { return !st.memory.exceeded() })
	reader.alive()
	if n := st.stat("close.write_timeout"); n == 0 {
		st.t.Error("nobody was closed")
	}
}

// Beyond the budget of all outboxes clients that do not read get hints and nothing
// else, and have less time; who reads feels nothing of it.
func TestBudgetOfAllOutboxes(t *testing.T) {
	const n, budget = 50, 200 << 10
	l := newLogic()
	l.silence = time.Minute
	st := newStage(t, l, Config{OutboxMemory: budget + n*kernelHolds})
	reader := st.login(252)
	conns := st.stopped(n)
	st.turn(blockedGrace + tick)
	st.settled()
	for seq := uint64(2); seq < 100; seq++ {
		st.push([]delivery{{Frame: pushFrame(251, 1, seq, 1000), Conns: conns}})
	}
	if held := st.stat("blocked_bytes"); held > budget+n*(9<<10) { // the frame that it was cut in
		t.Errorf("%d bytes wait", held)
	}
	if !st.memory.exceeded() {
		t.Fatal("the budget is not used up")
	}
	st.push([]delivery{{Frame: pushFrame(251, 252, 1, 100<<9), Conns: []uint64{reader.conn}}})
	if f := reader.next(); f.Type != protocol.TypePush {
		t.Errorf("a client that reads got %v", f.Type)
	}
	st.givesUp(reader)
}

// What the kernel holds for sockets that take nothing is in the budget too: with hardly
// a byte in their outboxes they have less time.
func TestKernelBuffersInTheBudget(t *testing.T) {
	const n = 50
	l := newLogic()
	l.silence = time.Minute
	st := newStage(t, l, Config{OutboxMemory: n * kernelHolds})
	reader := st.login(252)
	st.stopped(n)
	st.turn(blockedGrace + tick)
	st.settled()
	if !st.memory.exceeded() {
		t.Fatalf("%d sockets are blocked, %d bytes wait for them, and the budget is not used up", st.stat("blocked"), st.stat("blocked_bytes"))
	}
	st.givesUp(reader)
}

// A client that pauses for long gets the pushes that were kept, and hints that go as
// far as what was not, once it reads: nobody turns the wheel for that. Nothing is pushed
// to it again meanwhile.
func TestClientThatReadsAgain(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	flood(st, p)
	st.turn(protocol.PushAckTimeout)
	st.settled()
	const rounds = 30
	for seq := uint64(1); seq <= rounds; seq++ {
		st.push([]delivery{{pushFrame(7, 1, seq, 1000), []uint64{p.conn}}, {receiptFrame(3, seq), []uint64{p.conn}}})
	}
	st.turn(2 * protocol.PushAckTimeout)
	st.settled()
	if n := st.logic.redeliveries(); n != 0 {
		t.Errorf("logic was asked %d times what to push again", n)
	}
	have, hinted, all := uint64(0), uint64(0), false
	for hinted < rounds && !all {
		f := p.next()
		var m protocol.Message
		var hint protocol.Cursor
		switch {
		case f.Type == protocol.TypePush && m.Decode(f.Payload) == nil && m.Sender == 7:
			if m.Seq != have+1 || hinted > 0 {
				t.Fatalf("push %d behind %d, hint %d", m.Seq, have, hinted)
			}
			have = m.Seq
		case f.Type == protocol.TypeHint && hint.Decode(f.Payload) == nil && hint.Target == direct(7):
			hinted = hint.Seq
		case f.Type == protocol.TypeHint && hint.Target == protocol.Target{}: // for a receipt
			all = true
		}
	}
	if have == 0 || have == rounds {
		t.Errorf("%d of %d came as pushes", have, rounds)
	}
	p.alive()
	if n, bytes := st.stat("blocked"), st.stat("blocked_bytes"); n != 0 || bytes != 0 {
		t.Errorf("%d sockets, %d bytes are said to wait", n, bytes)
	}
}

// A client that is closed while its socket is blocked sees whole frames up to its CLOSE
// if it reads in time, and a connection that breaks if it does not: never half a
// frame and a clean end.
func TestLateReaderIsNotCutInAFrame(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, late := range []bool{false, true} {
			for name, end := range map[string]func(*stage, *peer){
				"kicked":      func(st *stage, p *peer) { st.Kick(p.conn, protocol.CodeReplaced) },
				"not reading": func(st *stage, p *peer) { st.sessions.get(p.conn).close(protocol.CodeNotReading) },
				"cut off":     func(st *stage, p *peer) { st.sessions.get(p.conn).hangUp() },
			} {
				t.Run(fmt.Sprintf("%s, tls %v, late %v", name, secure, late), func(t *testing.T) {
					st := newStage(t, newLogic(), Config{})
					p := st.dial()
					if secure {
						address, pool := st.listenTLS()
						conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool})
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() { conn.Close() })
						p = &peer{Conn: conn, t: t}
					}
					p.send(hello(2))
					if f := p.next(); f.Type != protocol.TypeWelcome {
						t.Fatalf("login: %v", f.Type)
					}
					p.conn = (<-st.logic.loggedIn).Conn
					flood(st, p)
					end(st, p)
					st.settled()
					if late {
						st.turn(goodbyeTimeout)
						st.eventually("it is over", func() bool { return st.sessions.get(p.conn) == nil })
					}
					var last protocol.Frame
					var err error
					for err == nil {
						var f protocol.Frame
						if f, err = p.read(); err == nil {
							last = f
						}
					}
					whole := last.Type == protocol.TypeClose && errors.Is(err, io.EOF) && len(p.in) == 0
					if late && whole && name != "cut off" {
						return // the kernel found room for everything in time
					}
					if name == "cut off" || late {
						if !errors.Is(err, syscall.ECONNRESET) || last.Type == protocol.TypeClose {
							t.Errorf("the last frame was %v, then %v; want a reset", last.Type, err)
						}
						if st.stat("resets") != 1 {
							t.Errorf("%d resets counted", st.stat("resets"))
						}
						return
					}
					if !whole {
						t.Errorf("the last frame was %v, then %d bytes and %v; want CLOSE and the end", last.Type, len(p.in), err)
					}
				})
			}
		}
	}
}
