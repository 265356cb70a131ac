package gateway

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"gannet/protocol"
)

func direct(id uint64) protocol.Target {
	return protocol.Target{Kind: protocol.KindDirect, ID: id}
}

func TestOutboxIsBoundedInBytes(t *testing.T) {
	var o outbox
	frame := make([]byte, 1000)
	pushes := 0
	for o.push(frame, false) {
		pushes++
	}
	if got := outboxBytes / len(frame); pushes != got {
		t.Errorf("%d pushes fit, want %d", pushes, got)
	}
	if !o.reply(frame) {
		t.Error("no room for a reply beside the pushes")
	}
	for o.reply(frame) {
	}
	if o.bytes > outboxBytes+replyBytes {
		t.Errorf("%d bytes kept", o.bytes)
	}
}

func TestSystemMessagesGoFirst(t *testing.T) {
	var o outbox
	o.push([]byte("normal "), false)
	o.push([]byte("urgent "), true)
	o.reply([]byte("reply "))
	o.push([]byte("urgent2 "), true)
	if got := string(o.take(make([]byte, 0, 100))); got != "urgent urgent2 reply normal " {
		t.Errorf("took %q", got)
	}
	if !o.empty() {
		t.Error("not empty")
	}
}

func TestWelcomeIsFirstAndCloseIsLast(t *testing.T) {
	var o outbox
	o.first([]byte("WELCOME "))
	o.push([]byte("urgent "), true)
	o.push([]byte("push "), false)
	o.hint(direct(7), 3)
	o.last([]byte("CLOSE"))
	if got := string(o.take(make([]byte, 0, 100))); got != "WELCOME urgent push CLOSE" || !o.empty() {
		t.Errorf("took %q", got)
	}
}

func TestUrgentFrameDoesNotCutAFrameThatIsUnderWay(t *testing.T) {
	var o outbox
	o.push([]byte("0123456789"), false)
	if got := string(o.take(make([]byte, 0, 4))); got != "0123" {
		t.Fatalf("took %q", got)
	}
	o.untake([]byte("23"))
	o.push([]byte("urgent"), true)
	if got := string(o.take(make([]byte, 0, 100))); got != "23456789urgent" {
		t.Errorf("took %q", got)
	}
}

func TestHintsComeLastAndOnceAConversation(t *testing.T) {
	var o outbox
	o.push([]byte("first"), false)
	o.hint(direct(7), 3)
	o.hint(direct(8), 1)
	o.hint(direct(7), 9)
	o.hint(direct(7), 5)
	got := o.take(make([]byte, 0, 1000))
	want := protocol.Cursor{Target: direct(8), Seq: 1}.AppendHint([]byte("first"))
	want = protocol.Cursor{Target: direct(7), Seq: 9}.AppendHint(want)
	if !bytes.Equal(got, want) {
		t.Errorf("took %x\nwant %x", got, want)
	}
}

func TestTooManyHintsBecomeOne(t *testing.T) {
	var o outbox
	for i := range uint64(3 * maxHints) {
		o.hint(direct(i+1), i)
	}
	got := o.take(make([]byte, 0, 10000))
	if want := (protocol.Cursor{}).AppendHint(nil); !bytes.Equal(got, want) {
		t.Errorf("took %x, want %x", got, want)
	}
	if !o.empty() {
		t.Error("hints are left")
	}
}

// Whatever the socket takes, blocked or not, the peer sees the frames whole and
// in order, and nothing else.
func TestOutboxKeepsTheStream(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var o outbox
		var want, got []byte
		buf := make([]byte, 0, 1+r.IntN(300))
		for range 300 {
			if r.IntN(3) > 0 {
				frame := bytes.Repeat([]byte{byte(r.IntN(256))}, 1+r.IntN(200))
				if o.push(frame, false) {
					want = append(want, frame...)
					if o.blocked {
						clear(frame) // the outbox has its own by now
					}
				}
			}
			if r.IntN(3) > 0 {
				p := o.take(buf[:0])
				n := r.IntN(len(p) + 1)
				got = append(got, p[:n]...)
				if n < len(p) {
					o.untake(p[n:])
					o.detach()
				} else if o.empty() {
					o.blocked = false
				}
			}
			if o.bytes != len(want)-len(got) {
				t.Fatalf("seed %d: %d bytes counted, %d wait", seed, o.bytes, len(want)-len(got))
			}
		}
		for !o.empty() {
			got = append(got, o.take(buf[:0])...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: the stream is not what was put in", seed)
		}
	}
}

func TestBlockedOutboxOwnsItsMemory(t *testing.T) {
	var o outbox
	batch := []byte("aaaabbbbcccc")
	o.push(batch[0:4], false)
	o.push(batch[4:8], true)
	o.detach()
	o.push(batch[8:12], false)
	clear(batch)
	if got := string(o.take(make([]byte, 0, 100))); got != "bbbbaaaacccc" {
		t.Errorf("took %q: it shares memory with the batch", got)
	}
}

// While a hint of a conversation waits, its further pushes are part of it: what
// comes behind what did not fit must not come before it.
func TestPushesJoinAWaitingHint(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(2)
	flood(st, p)
	s := st.sessions.get(p.conn)
	s.mu.Lock()
	full := s.outbox.hints[0]
	s.outbox.bytes -= 32 << 10 // as if the socket had taken so much
	s.mu.Unlock()
	st.push([]delivery{
		{Frame: pushFrame(1, 2, full.Seq+1, 100), Conns: []uint64{p.conn}},
		{Frame: pushFrame(9, 2, 1, 100), Conns: []uint64{p.conn}},
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox.bytes += 32 << 10
	if got := s.outbox.hints; len(got) != 1 || got[0].Target != full.Target || got[0].Seq != full.Seq+1 {
		t.Errorf("hints are %v, want one up to %d", got, full.Seq+1)
	}
	if last := s.outbox.normal.list[len(s.outbox.normal.list)-1]; !bytes.Equal(last, pushFrame(9, 2, 1, 100)) {
		t.Error("the push of another conversation did not go out")
	}
}

// An outbox that is never quite empty does not grow with what has gone through it.
func TestOutboxForgetsWhatHasGone(t *testing.T) {
	var o outbox
	frame := make([]byte, 10)
	for range 1000 {
		o.reply(frame)
	}
	scratch := make([]byte, 0, 5000)
	for range 20000 { // what goes out is replaced
		for range len(o.take(scratch)) / len(frame) {
			o.reply(frame)
		}
	}
	if n := cap(o.replies.list); n > 10_000 || o.bytes != 1000*len(frame) {
		t.Errorf("the list has room for %d frames, %d bytes wait", n, o.bytes)
	}
}
