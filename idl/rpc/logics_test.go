package rpc

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

var someone = hop.Identity{Gateway: 1<<63 | 1, Conn: 1<<62 | 2, User: 1<<61 | 3, Device: 1<<60 | 4}

// What a gateway says arrives as it is, and so does what logic answers.
func TestLogics(t *testing.T) {
	st := newLogicStage(t)
	st.client.calls.try = callTimeout // on a machine that is busy too
	login := hop.Login{Address: someone.Address(), Request: 1<<31 | 5, Hello: protocol.Hello{
		Version: 65535, Token: []byte("token"), Device: 1<<63 | 6, Platform: 255, Capabilities: 1<<31 | 7, Heartbeat: 65534, Name: []byte("client"),
	}}
	other := hop.Login{Address: hop.Address{Gateway: 1, Conn: 2}, Hello: protocol.Hello{Token: []byte("another"), Device: 3, Name: []byte("client")}}
	st.welcomes = []hop.Welcome{
		{User: 1<<63 | 8, Number: 1<<63 | 9, Heartbeat: 65535, Expires: -10, Frame: []byte("welcome")}, {Code: protocol.CodeBadToken, Frame: []byte{}},
	}
	w, err := st.client.Login(t.Context(), []hop.Login{login, other})
	if err != nil || !reflect.DeepEqual(w, st.welcomes) || !reflect.DeepEqual(st.logins, []hop.Login{login, other}) {
		t.Errorf("the welcomes are %+v, %v; logic saw %+v", w, err, st.logins)
	}

	entering := []hop.Binding{{Identity: someone, Platform: 255, Number: 1<<63 | 1}, {Identity: hop.Identity{User: 9}, Number: 2}}
	st.codes = []protocol.Code{0, protocol.CodeReplaced}
	if codes, err := st.client.Enter(t.Context(), entering); err != nil || !slices.Equal(codes, st.codes) || !reflect.DeepEqual(st.entering, [][]hop.Binding{entering}) {
		t.Errorf("entered: %v, %v; logic saw %+v", codes, err, st.entering)
	}

	over := []hop.Binding{{Identity: someone, Platform: 255, Number: 1<<63 | 1}, {Identity: hop.Identity{User: 9}, Number: 2}}
	if err := st.client.Logout(t.Context(), over); err != nil || !reflect.DeepEqual(st.logouts, [][]hop.Binding{over}) {
		t.Errorf("logout: %v; logic saw %+v", err, st.logouts)
	}

	bound := []hop.Rebinding{{Binding: over[0], Was: 1<<63 | 5}, {Binding: over[1]}, {Binding: over[1], Was: 3}}
	st.lost = []uint32{0, 2}
	if lost, err := st.client.BindAgain(t.Context(), bound); err != nil || !reflect.DeepEqual(lost, st.lost) || !reflect.DeepEqual(st.rebound, [][]hop.Rebinding{bound}) {
		t.Errorf("bound again: %v, %v lost; logic saw %+v", err, lost, st.rebound)
	}
	st.lost = nil
	if lost, err := st.client.BindAgain(t.Context(), bound); err != nil || len(lost) != 0 {
		t.Errorf("bound again: %v, %v lost", err, lost)
	}

	st.reply = []byte("page")
	query := hop.Query{Identity: someone, Frame: []byte("question")}
	if b, err := st.client.Query(t.Context(), &query); err != nil || string(b) != "page" || !reflect.DeepEqual(st.queries, []hop.Query{query}) {
		t.Errorf("a query gives %q, %v; logic saw %+v", b, err, st.queries)
	}
	again := hop.Redelivery{Identity: someone, Range: protocol.Range{Target: protocol.Target{Kind: 255, ID: 1<<63 | 1}, First: 1<<63 | 2, Last: 1<<63 | 3}}
	if b, err := st.client.Redeliver(t.Context(), &again); err != nil || string(b) != "page" || !reflect.DeepEqual(st.again, []hop.Redelivery{again}) {
		t.Errorf("a redelivery gives %q, %v; logic saw %+v", b, err, st.again)
	}
	if n := st.client.Stats()["failed.try"] + st.server.Stats()["failed.call"]; n != 0 {
		t.Errorf("%d calls failed", n)
	}
}

func TestForward(t *testing.T) {
	st := newLogicStage(t)
	for _, n := range []int{0, 1, 200} {
		batch := batchOf(n, 500)
		a, err := st.client.Forward(t.Context(), batch)
		if err != nil || a.Check(n) != nil || a.Len() != n {
			t.Fatalf("%d answers to %d frames, %v", a.Len(), n, err)
		}
		got := st.batches[len(st.batches)-1]
		for i := range n {
			f, _ := batch.Frame(i)
			want := protocol.SendAck{ClientID: uint64(i + 1), Seq: uint64(i + 1)}.AppendFrame(nil, f.Request)
			if string(a.Bytes(i)) != string(want) || string(got.Bytes(i)) != string(batch.Bytes(i)) {
				t.Fatalf("frame %d arrived as %x and was answered %x", i, got.Bytes(i), a.Bytes(i))
			}
			if got.Conns[i] != batch.Conns[i] || got.Users[i] != batch.Users[i] || got.Devices[i] != batch.Devices[i] {
				t.Fatalf("frame %d came from %d, %d, %d", i, got.Conns[i], got.Users[i], got.Devices[i])
			}
		}
		if got.Gateway != batch.Gateway || got.Queue != batch.Queue {
			t.Fatalf("the batch came from %d for queue %d", got.Gateway, got.Queue)
		}
	}
}

// A batch goes to the node that writes its queue, what concerns a conversation too, and
// the rest to all nodes.
func TestWhoIsAsked(t *testing.T) {
	st, other := newLogicStage(t), newScript()
	other.mu = st.mu
	server := stopping(t, ServeLogic(listen(t), other, st.registry, config()))
	elsewhere := Node{ID: 8, Address: server.Address()}
	conversation := protocol.Target{Kind: protocol.KindDirect, ID: 9}
	queue := conversation.Conversation(someone.User).Partition() % queues
	st.registry.change(func(r *registry) { r.of[3], r.of[queue] = elsewhere, elsewhere })

	if _, err := st.client.Forward(t.Context(), batchOf(1, 1)); err != nil || len(other.batches) != 1 {
		t.Errorf("queue 3: %d batches, %v", len(other.batches), err)
	}
	again := hop.Redelivery{Identity: someone, Range: protocol.Range{Target: conversation}}
	history := protocol.History{Target: conversation}.AppendFrame(nil, 1)
	for range queues {
		if _, err := st.client.Redeliver(t.Context(), &again); err != nil {
			t.Fatal(err)
		}
		if _, err := st.client.Query(t.Context(), &hop.Query{Identity: someone, Frame: history}); err != nil {
			t.Fatal(err)
		}
	}
	if len(other.again) != queues || len(other.queries) != queues {
		t.Errorf("%d redeliveries and %d pages of history came to the node that writes the queue, of %d", len(other.again), len(other.queries), queues)
	}
	for range 2 * queues {
		if _, err := st.client.Query(t.Context(), &hop.Query{Identity: someone, Frame: protocol.Sync{}.AppendFrame(nil, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if len(st.queries) == 0 || len(other.queries) == queues {
		t.Errorf("the pages of SYNC came to one node")
	}
}

// Which connections are lost is believed only where it can be.
func TestBindAgainAnswersNonsense(t *testing.T) {
	st := newLogicStage(t)
	for _, lost := range [][]uint32{{2}, {1, 0}, {0, 0}, {0, 1, 2}, {1 << 31}} {
		st.client.calls.budget.left = 0
		st.lost = lost
		if got, err := st.client.BindAgain(t.Context(), make([]hop.Rebinding, 2)); !errors.Is(err, errAnswer) || got != nil {
			t.Errorf("of two %v are lost: %v, %v", lost, got, err)
		}
	}
}
