package gateway

import (
	"slices"
	"testing"
	"time"

	"gannet/protocol"
)

func TestRepliesGiveWayToPushes(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	peers := []*peer{st.login(1), st.login(2), st.login(3), st.login(4)}
	var sessions []*session
	var waiting answered
	begin := time.Now()
	for i, p := range peers {
		s := st.sessions.get(p.conn)
		sessions = append(sessions, s)
		if !s.put(protocol.SendAck{ClientID: uint64(i), Seq: 1}.AppendFrame(nil, 1)) {
			t.Fatalf("reply %d is somebody else's to write", i)
		}
		waiting.add(s, begin)
	}
	if got := waiting.take(nil, 0, begin.Add(replyPatience-1)); len(got) != 0 {
		t.Fatalf("%d replies taken without room", len(got))
	}
	if got := waiting.take(nil, 1, begin); !slices.Equal(got, sessions[:1]) {
		t.Fatalf("with room for one: %d taken", len(got))
	}
	st.writerOf(sessions[0]).add(sessions[0])

	// A push takes the reply along, and the reply comes first.
	st.Push(t.Context(), []protocol.Delivery{{Frame: pushFrame(1, 2, 1, 10), Conns: []uint64{peers[1].conn}}})
	for _, want := range []protocol.Type{protocol.TypeSendAck, protocol.TypePush} {
		if f := peers[1].next(); f.Type != want {
			t.Fatalf("got %#x, want %#x", f.Type, want)
		}
	}
	if got := waiting.take(nil, 1, begin); !slices.Equal(got, sessions[2:3]) {
		t.Fatalf("after a push: %d taken", len(got))
	}
	st.writerOf(sessions[2]).add(sessions[2])
	if got := waiting.take(nil, -1000, begin.Add(replyPatience)); !slices.Equal(got, sessions[3:]) || !waiting.empty() {
		t.Fatalf("after %v: %d taken", replyPatience, len(got))
	}
	st.writerOf(sessions[3]).add(sessions[3])
	for _, p := range []*peer{peers[0], peers[2], peers[3]} {
		if f := p.next(); f.Type != protocol.TypeSendAck {
			t.Fatalf("got %#x", f.Type)
		}
	}
}

// What is never empty does not grow for ever.
func TestRepliesThatAlwaysWait(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	s := st.sessions.get(st.login(1).conn)
	var waiting answered
	begin := time.Now()
	for i := range 1000 {
		now := begin.Add(time.Duration(i) * replyPatience / 10)
		waiting.add(s, now)
		if waiting.take(nil, 0, now); waiting.empty() {
			t.Fatal("nothing waits")
		}
	}
	if n := cap(waiting.list); n > 64 {
		t.Errorf("room for %d, where 10 wait", n)
	}
}

// A batch of more than are written at once: everybody is answered, and at the end
// nothing waits for a push that does not come.
func TestEveryoneOfABigBatchIsAnswered(t *testing.T) {
	for _, local := range []bool{true, false} {
		l := newLogic()
		l.answer = ackSend
		l.gate, l.entered = make(chan struct{}), make(chan int, 100)
		st := newStage(t, l, Config{Local: local, Lanes: 1})
		peers := make([]*peer, 4*batchWrites)
		for i := range peers {
			peers[i] = st.login(uint64(1 + i%200))
		}
		peers[0].send(sendFrame(9, 1, "the gate closes behind this one"))
		<-l.entered
		for _, p := range peers[1:] {
			p.send(sendFrame(9, 1, "all of these are one batch"))
		}
		st.eventually("all have arrived", func() bool {
			st.lanes[0].mu.Lock()
			defer st.lanes[0].mu.Unlock()
			return len(st.lanes[0].filling.requests) == len(peers)-1
		})
		close(l.gate)
		for _, p := range peers {
			if f := p.next(); f.Type != protocol.TypeSendAck {
				t.Fatalf("got %#x", f.Type)
			}
		}
		if n := <-l.entered; n != len(peers)-1 {
			t.Errorf("a batch of %d, want %d", n, len(peers)-1)
		}
	}
}
