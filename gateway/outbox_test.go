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

// all takes what waits, as a socket that takes everything does.
func (o *outbox) all() string {
	var all []byte
	for !o.empty() {
		t := o.take(make([]byte, 0, 1000))
		all = append(all, t.bytes...)
		o.taken(&t, len(t.bytes))
	}
	return string(all)
}

// put adds a push, whatever its length.
func (o *outbox) put(frame string, urgent bool) { o.push([]byte(frame), urgent, outboxBytes) }

func TestOutboxIsBoundedInBytes(t *testing.T) {
	var o outbox
	frame := make([]byte, 1000)
	count := func(add func() bool) (n int) {
		for add() {
			n++
		}
		return n
	}
	o.page(frame)
	pushes := count(func() bool { return o.push(frame, false, 30_000) })
	answers := count(func() bool { return o.answer(frame, 20_000) })
	if pushes != 30 || answers != 20 || o.bytes() != 51_000 {
		t.Errorf("%d pushes and %d answers fit, %d bytes, want 30, 20, 51000", pushes, answers, o.bytes())
	}
}

func TestSystemMessagesGoFirst(t *testing.T) {
	var o outbox
	o.put("normal ", false)
	o.put("urgent ", true)
	o.page([]byte("page "))
	o.answer([]byte("answer "), 100)
	o.put("urgent2 ", true)
	if got := o.all(); got != "urgent urgent2 answer page normal " {
		t.Errorf("took %q", got)
	}
}

func TestWelcomeIsFirstAndCloseIsLast(t *testing.T) {
	var o outbox
	o.first([]byte("WELCOME "))
	o.put("urgent ", true)
	o.put("push ", false)
	o.hint(direct(7), 3)
	o.last([]byte("CLOSE"))
	o.hint(direct(7), 4)
	if got := o.all(); got != "WELCOME urgent push CLOSE" {
		t.Errorf("took %q", got)
	}
}

func TestUrgentFrameDoesNotCutAFrameThatIsUnderWay(t *testing.T) {
	var o outbox
	o.put("0123456789", false)
	first := o.take(make([]byte, 0, 4))
	if string(first.bytes) != "0123" {
		t.Fatalf("took %q", first.bytes)
	}
	o.put("first", true) // while the socket has it
	o.taken(&first, 2)
	o.put("second", true)
	if got := o.all(); got != "23456789firstsecond" {
		t.Errorf("took %q", got)
	}
}

// What an element holds besides the frame that was cut is not pushed ahead of others.
func TestUrgentFrameGoesBehindTheCutFrameOfSeveral(t *testing.T) {
	var o outbox
	one, two := pushFrame(1, 2, 1, 10), pushFrame(1, 2, 2, 10)
	o.put(string(one)+string(two), false)
	first := o.take(make([]byte, 0, 1000))
	o.taken(&first, 5)
	o.put("urgent", true)
	if got, want := o.all(), string(one[5:])+"urgent"+string(two); got != want {
		t.Errorf("took %q, want %q", got, want)
	}
}

func TestHintsComeLastAndOnceAConversation(t *testing.T) {
	var o outbox
	o.put("first", false)
	o.hint(direct(7), 3)
	o.hint(direct(8), 1)
	o.hint(direct(7), 9)
	o.hint(direct(7), 5)
	got := o.all()
	want := protocol.Cursor{Target: direct(8), Seq: 1}.AppendHint([]byte("first"))
	want = protocol.Cursor{Target: direct(7), Seq: 9}.AppendHint(want)
	if got != string(want) {
		t.Errorf("took %x\nwant %x", got, want)
	}
}

func TestTooManyHintsBecomeOne(t *testing.T) {
	var o outbox
	for i := range uint64(3 * maxHints) {
		o.hint(direct(i+1), i)
	}
	if got, want := o.all(), (protocol.Cursor{}).AppendHint(nil); got != string(want) {
		t.Errorf("took %x, want %x", got, want)
	}
}

// Hints that the socket takes in pieces are whole all the same, and what is hinted
// meanwhile is not lost with them.
func TestHintsInPieces(t *testing.T) {
	for n := range 3 * hintFrame {
		var o outbox
		for i := range uint64(3) {
			o.hint(direct(i+1), 5)
		}
		first := o.take(make([]byte, 0, 1000))
		o.hint(direct(1), 9)
		got := string(first.bytes[:n])
		o.taken(&first, n)
		got += o.all()
		want := string(first.bytes) + string(protocol.Cursor{Target: direct(1), Seq: 9}.AppendHint(nil))
		if got != want {
			t.Errorf("%d bytes first: came %x, want %x", n, got, want)
		}
	}
}

// Whatever the socket takes, blocked or not, the peer sees the frames whole and
// in order, and nothing else; what is put in while a write is under way waits for it.
func TestOutboxKeepsTheStream(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var o outbox
		var want, got []byte
		buf := make([]byte, 0, 1+r.IntN(300))
		put := func() {
			if r.IntN(3) == 0 {
				return
			}
			var frame []byte
			for range 1 + r.IntN(3) {
				frame = append(frame, pushFrame(1, 2, r.Uint64(), r.IntN(100))...)
			}
			if o.push(frame, false, outboxBytes) {
				want = append(want, frame...)
				if o.owned {
					clear(frame) // the outbox has its own by now
				}
			}
		}
		for range 300 {
			put()
			if r.IntN(3) > 0 {
				p := o.take(buf[:0])
				n := r.IntN(len(p.bytes) + 1)
				put()
				got = append(got, p.bytes[:n]...)
				o.taken(&p, n)
				if n < len(p.bytes) && r.IntN(3) == 0 && !o.owned {
					o.own(2, outboxBytes)
				} else if o.empty() {
					o.unblock()
				}
			}
			if o.bytes() != len(want)-len(got) {
				t.Fatalf("seed %d: %d bytes counted, %d wait", seed, o.bytes(), len(want)-len(got))
			}
		}
		got = append(got, o.all()...)
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: the stream is not what was put in", seed)
		}
	}
}

// An outbox that waits for long keeps the frame that was cut, all answers, and of the
// pushes the oldest that fit; nothing of it is anybody else's memory. Of the other
// pushes hints remain, and no push of a conversation comes behind its hint.
func TestBlockedOutboxOwnsItsMemory(t *testing.T) {
	var o outbox
	var batch []byte
	cut := func(frame []byte) []byte {
		batch = append(batch, frame...)
		return batch[len(batch)-len(frame):]
	}
	batch = make([]byte, 0, 10_000)
	done := protocol.AppendEmpty(nil, protocol.TypeDone, 1)
	keeps := [][]byte{cut(pushFrame(1, 2, 1, 400)), cut(done), cut(pushFrame(1, 2, 2, 400)), cut(pushFrame(3, 2, 7, 10))}
	o.push(keeps[0], false, outboxBytes)
	first := o.take(make([]byte, 0, 10))
	o.taken(&first, 10)
	o.answer(keeps[1], 1000)
	o.push(keeps[2], false, outboxBytes)
	o.push(keeps[3], false, outboxBytes)
	o.push(cut(pushFrame(1, 2, 3, 400)), false, outboxBytes)
	o.push(cut(pushFrame(1, 2, 4, 1)), false, outboxBytes) // would fit
	o.push(cut(receiptFrame(5, 1)), false, outboxBytes)
	most := len(keeps[2]) + len(keeps[3]) + 100
	want := string(keeps[0][10:]) + string(done) + string(keeps[2]) + string(keeps[3]) + string(receiptFrame(5, 1)) + string(done)
	want = want[:len(want)-len(done)] // what comes last is an answer, before pushes
	if dropped := o.own(2, most); dropped != 2 {
		t.Errorf("%d pushes became hints, want 2", dropped)
	}
	clear(batch)
	want += string(protocol.Cursor{Target: direct(1), Seq: 4}.AppendHint(nil))
	if got := o.all(); got != want {
		t.Errorf("took %x\nwant %x", got, want)
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
	s.outbox.pushed -= 32 << 10 // as if the socket had taken so much
	s.mu.Unlock()
	st.push([]delivery{
		{Frame: pushFrame(1, 2, full.Seq+1, 100), Conns: []uint64{p.conn}},
		{Frame: pushFrame(9, 2, 1, 100), Conns: []uint64{p.conn}},
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outbox.pushed += 32 << 10
	if got := s.outbox.hints; len(got) != 1 || got[0].Target != full.Target || got[0].Seq != full.Seq+1 {
		t.Errorf("hints are %v, want one up to %d", got, full.Seq+1)
	}
	if last := s.outbox.normal.list[len(s.outbox.normal.list)-1]; !bytes.HasSuffix(last, pushFrame(9, 2, 1, 100)) {
		t.Error("the push of another conversation did not go out")
	}
}

// An outbox that is never quite empty does not grow with what has gone through it.
func TestOutboxForgetsWhatHasGone(t *testing.T) {
	var o outbox
	frame := make([]byte, 10)
	for range 1000 {
		o.answer(frame, outboxBytes)
	}
	scratch := make([]byte, 0, 5000)
	for range 20000 { // what goes out is replaced
		p := o.take(scratch)
		o.taken(&p, len(p.bytes))
		for range len(p.bytes) / len(frame) {
			o.answer(frame, outboxBytes)
		}
	}
	if n := cap(o.answers.list); n > 10_000 || o.bytes() != 1000*len(frame) {
		t.Errorf("the list has room for %d frames, %d bytes wait", n, o.bytes())
	}
}
