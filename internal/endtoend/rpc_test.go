package endtoend

import (
	"context"
	"fmt"
	"testing"
	"time"

	"gannet/protocol"
)

// expect reads frames until one of the type comes; an ERROR or CLOSE before it fails.
func (p *rawClient) expect(t protocol.Type) protocol.Frame {
	p.t.Helper()
	for {
		f := p.next()
		if f.Type == t {
			return f
		}
		if f.Type == protocol.TypeError || f.Type == protocol.TypeClose {
			p.t.Fatalf("%v in place of %#x", p.failure(f), t)
		}
	}
}

func sendTo(user, clientID uint64, body string) []byte {
	return protocol.Send{
		Target: protocol.Target{Kind: protocol.KindDirect, ID: user}, ClientID: clientID, Content: protocol.ContentText, Body: []byte(body),
	}.AppendFrame(nil, uint32(clientID))
}

// deliver sends a message from one user to another and sees it acked, pushed and acked by
// the receiver.
func deliver(t *testing.T, from, to *rawClient, receiver, clientID uint64) (seq uint64) {
	t.Helper()
	body := fmt.Sprint("message ", clientID)
	from.send(sendTo(receiver, clientID, body))
	var ack protocol.SendAck
	if f := from.expect(protocol.TypeSendAck); ack.Decode(f.Payload) != nil || f.Request != uint32(clientID) || ack.ClientID != clientID {
		t.Fatalf("SEND %d was answered %+v", clientID, ack)
	}
	var m protocol.Message
	if f := to.expect(protocol.TypePush); m.Decode(f.Payload) != nil || m.Seq != ack.Seq || string(m.Body) != body {
		t.Fatalf("of message %d came %+v", clientID, m)
	}
	return ack.Seq
}

// The whole of a conversation through RPC: two users at two gateways.
func TestRolesByRPC(t *testing.T) {
	r := startRoles(t)
	one, two := r.login(0, 1, 11), r.login(1, 2, 22)
	for id := uint64(1); id <= 20; id++ {
		if seq := deliver(t, one, two, 2, id); seq != id {
			t.Fatalf("message %d got seq %d", id, seq)
		}
	}
	two.send(protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: 1}, Seq: 20}.AppendPushAck(nil, 7))
	if f := two.expect(protocol.TypeDone); f.Request != 7 {
		t.Errorf("PUSHACK was answered to %d", f.Request)
	}
	var receipt protocol.Receipt
	if f := one.expect(protocol.TypeReceipt); receipt.Decode(f.Payload) != nil || receipt.User != 2 || receipt.Delivered != 20 {
		t.Errorf("the receipt is %+v", receipt)
	}
	two.send(protocol.Sync{}.AppendFrame(nil, 8))
	var synced protocol.Synced
	if f := two.expect(protocol.TypeSynced); synced.Decode(f.Payload) != nil || f.Request != 8 {
		t.Errorf("SYNC was answered %+v", synced)
	}
	two.send(protocol.History{Target: protocol.Target{Kind: protocol.KindDirect, ID: 1}}.AppendFrame(nil, 9))
	var page protocol.Messages
	if f := two.expect(protocol.TypeMessages); page.Decode(f.Payload) != nil || page.Last != 20 {
		t.Errorf("HISTORY was answered %+v", page)
	}

	again := r.login(1, 1, 11) // the device moves to the other gateway
	if f := one.expect(protocol.TypeClose); one.failure(f) != protocol.CodeReplaced {
		t.Errorf("the connection before was closed with %v", one.failure(f))
	}
	deliver(t, two, again, 1, 1)

	if n := r.pushes.Stats()["failed.call"] + r.pushes.Stats()["hostile.answer"] + r.gateways[0].logics.Stats()["failed.call"]; n != 0 {
		t.Errorf("%d calls failed", n)
	}
	if r.receipts.Stats()["calls"] == 0 || r.logic.Stats()["calls"] == 0 || r.gateways[0].server.Stats()["calls"] == 0 {
		t.Error("something went past RPC")
	}
}

// While logic is away clients hear so, and afterwards all goes on where it was.
func TestLogicComesBack(t *testing.T) {
	r := startRoles(t)
	one, two := r.login(0, 1, 11), r.login(1, 2, 22)
	deliver(t, one, two, 2, 1)
	at := r.logic.Address()
	if err := r.logic.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	one.send(sendTo(2, 2, "message 2"))
	if f := one.next(); f.Type != protocol.TypeError || f.Request != 2 || one.failure(f) != protocol.CodeUnavailable {
		t.Errorf("a SEND was answered %#x", f.Type)
	}
	r.serveLogic(at)
	var m protocol.Message
	for f := (protocol.Frame{}); f.Type != protocol.TypeSendAck; { // again until it is acked, as the SDK does
		one.send(sendTo(2, 2, "message 2"))
		var refused protocol.Failure
		if f = one.next(); f.Type == protocol.TypeError && refused.Decode(f.Payload) == nil {
			time.Sleep(time.Duration(refused.RetryAfter) * time.Millisecond)
		}
	}
	if f := two.expect(protocol.TypePush); m.Decode(f.Payload) != nil || m.Seq != 2 || string(m.Body) != "message 2" {
		t.Errorf("then came %+v", m)
	}
	if seq := deliver(t, one, two, 2, 3); seq != 3 {
		t.Errorf("the next message got seq %d", seq)
	}
}

// A gateway that is gone holds up nobody who is elsewhere, and is given up when its
// registration ends.
func TestGatewayIsGone(t *testing.T) {
	r := startRoles(t)
	one, two := r.login(0, 1, 11), r.login(0, 2, 22)
	gone := r.login(1, 2, 23)
	deliver(t, one, two, 2, 1)
	gone.expect(protocol.TypePush)
	if err := r.gateways[1].server.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for id := uint64(2); id <= 5; id++ {
		deliver(t, one, two, 2, id)
	}
	if n := r.pusher.Stats()["drop.ended"]; n != 0 {
		t.Errorf("%d pushes were given up while the gateway is registered", n)
	}
	r.view.change(func(v *view) { v.ended[r.gateways[1].Epoch()] = true })
	for deadline := time.Now().Add(patience); r.pusher.Stats()["drop.ended"] == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never given up: %v", r.pusher.Stats())
		}
	}
}
