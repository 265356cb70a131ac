package rpc

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/cloudwego/gopkg/protocol/thrift"

	"gannet/idl/kitex_gen/gannet"
	"gannet/internal/hop"
	"gannet/protocol"
)

// raw is a peer of bytes.
func raw(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// call encodes a call with its request.
func call(name string, request thrift.FastCodec) []byte {
	return message(name, thrift.CALL, 1, inStruct(1, request))
}

// Whatever bytes a peer sends, they end its connection, are counted, and others are
// served as if nothing had been.
func TestBytesThatAreNoCall(t *testing.T) {
	st := newLogicStage(t)
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	head := message("Forward", thrift.CALL, 1, nil)[4:]
	list := append(append([]byte{}, head...), byte(thrift.STRUCT), 0, 1, byte(thrift.LIST), 0, 3, byte(thrift.I64), 0x7f, 0xff, 0xff, 0xff)
	for name, b := range map[string][]byte{
		"random":           random,
		"HTTP":             []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"HTTP/2":           []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"a TTHeader":       {0, 0, 0, 20, 0x10, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"a mesh header":    {0xff, 0xaf, 0, 2, 0, 0, 0, 0, 0, 0},
		"protobuf":         {0, 0, 0, 8, 0x90, 1, 0, 1, 0, 0, 0, 0},
		"no framing":       call("Forward", &gannet.ForwardRequest{})[4:],
		"a frame of 2 GiB": {0x7f, 0xff, 0xff, 0xff, 0x80, 1, 0, 1},
		"a frame of 33 MB": {2, 0, 0, 1, 0x80, 1, 0, 1},
		"a list of 2^31":   framed(list),
		"a head alone":     framed(head),
		"another method":   call("Explode", &gannet.ForwardRequest{}),
		"no method":        call("", &gannet.ForwardRequest{}),
		"a reply":          message("Forward", thrift.REPLY, 1, result(&gannet.ForwardReply{})),
	} {
		t.Run(name, func(t *testing.T) {
			before := st.server.Stats()
			c := raw(t, st.server.Address())
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the connection stays: %v", err)
			}
			eventually(t, "its place is free", func() bool { return st.server.Stats()["connections"] <= max(1, before["connections"]) })
			if a, err := st.client.Forward(t.Context(), batchOf(2, 10)); err != nil || a.Len() != 2 {
				t.Errorf("afterwards: %d answers, %v", a.Len(), err)
			}
		})
	}
	if n := st.server.Stats()["hostile.payload"]; n < 9 {
		t.Errorf("%d times bytes were no call", n)
	}
}

// Calls that can be read and make no sense are refused, counted, and do not reach the
// role; the connection stays.
func TestCallsThatMakeNoSense(t *testing.T) {
	frame := protocol.Cursor{}.AppendPushAck(nil, 0)
	whole := func() *gannet.ForwardRequest {
		return &gannet.ForwardRequest{Conns: []int64{1}, Users: []int64{1}, Devices: []int64{1}, Ends: []int32{int32(len(frame))}, Frames: frame}
	}
	forward := func(change func(*gannet.ForwardRequest)) []byte {
		r := whole()
		change(r)
		return call("Forward", r)
	}
	push := func(change func(*gannet.PushRequest)) []byte {
		r := &gannet.PushRequest{Epoch: self, Frames: []int32{0, 1}, Receivers: []int32{0, 1}, Conns: []int64{1}, Blob: []byte("x")}
		change(r)
		return call("Push", r)
	}
	receipt := hop.Record{Entries: []hop.RecordEntry{{Op: hop.OpReceipt}}}
	message1 := hop.Record{Entries: []hop.RecordEntry{{Op: hop.OpMessage}}}
	records := receipt.Append(nil)
	end := int32(len(records))
	no := []byte{0} // no request
	logicCalls := map[string][]byte{
		"a login of nothing":         message("Login", thrift.CALL, 1, no),
		"a logout of nothing":        message("Logout", thrift.CALL, 1, no),
		"a batch of nothing":         message("Forward", thrift.CALL, 1, no),
		"a query of nothing":         message("Query", thrift.CALL, 1, no),
		"a redelivery of nothing":    message("Redeliver", thrift.CALL, 1, no),
		"a version out of range":     call("Login", hostileLogin(func(l *gannet.LoginRequest) { l.Versions[1] = 1 << 16 })),
		"a platform out of range":    call("Login", hostileLogin(func(l *gannet.LoginRequest) { l.Platforms[1] = 256 })),
		"a heartbeat out of range":   call("Login", hostileLogin(func(l *gannet.LoginRequest) { l.Heartbeats[1] = -1 })),
		"capabilities out of range":  call("Login", hostileLogin(func(l *gannet.LoginRequest) { l.Capabilities[1] = 1 << 32 })),
		"a token without end":        call("Login", hostileLogin(func(l *gannet.LoginRequest) { l.Tokens[1] = make([]byte, 1<<20) })),
		"logins of nobody":           call("Login", &gannet.LoginRequest{Conns: []int64{1}}),
		"connections of nobody":      call("Enter", &gannet.Bindings{Users: []int64{1}}),
		"bindings of nobody":         call("Logout", &gannet.Bindings{Conns: []int64{1}}),
		"a binding's platform":       call("Logout", &gannet.Bindings{Gateways: []int64{1}, Conns: []int64{1}, Users: []int64{1}, Devices: []int64{1}, Platforms: []int32{-1}, Numbers: []int64{1}}),
		"a binding again of nothing": message("BindAgain", thrift.CALL, 1, no),
		"bindings again of nobody":   call("BindAgain", &gannet.BindAgainRequest{Conns: []int64{1}}),
		"one that was nowhere":       call("BindAgain", &gannet.BindAgainRequest{Gateways: []int64{1}, Conns: []int64{1}, Users: []int64{1}, Devices: []int64{1}, Platforms: []int32{1}, Numbers: []int64{1}}),
		"a binding again's platform": call("BindAgain", &gannet.BindAgainRequest{Gateways: []int64{1}, Conns: []int64{1}, Users: []int64{1}, Devices: []int64{1}, Platforms: []int32{256}, Numbers: []int64{1}, Was: []int64{1}}),
		"a kind out of range":        call("Redeliver", &gannet.RedeliverRequest{Kind: 256}),
		"frames of nobody":           forward(func(r *gannet.ForwardRequest) { r.Users = nil }),
		"too many connections":       forward(func(r *gannet.ForwardRequest) { r.Conns = append(r.Conns, 2) }),
		"bounds below 0":             forward(func(r *gannet.ForwardRequest) { r.Ends[0] = -1 }),
		"bounds behind the bytes":    forward(func(r *gannet.ForwardRequest) { r.Ends[0]++ }),
		"bytes behind the bounds":    forward(func(r *gannet.ForwardRequest) { r.Ends[0]-- }),
		"queue -1":                   forward(func(r *gannet.ForwardRequest) { r.Queue = -1 }),
		"queue 256":                  forward(func(r *gannet.ForwardRequest) { r.Queue = 256 }),
	}
	gatewayCalls := map[string][]byte{
		"a push of nothing":       message("Push", thrift.CALL, 1, no),
		"a kick of nothing":       message("Kick", thrift.CALL, 1, no),
		"half a span":             push(func(r *gannet.PushRequest) { r.Frames = r.Frames[:1] }),
		"half a set of receivers": push(func(r *gannet.PushRequest) { r.Receivers = r.Receivers[:1] }),
		"a frame behind the blob": push(func(r *gannet.PushRequest) { r.Frames[1] = 2 }),
		"a frame before the blob": push(func(r *gannet.PushRequest) { r.Frames[0] = -1 }),
		"a frame backwards":       push(func(r *gannet.PushRequest) { r.Frames[0], r.Frames[1] = 1, 0 }),
		"no receivers":            push(func(r *gannet.PushRequest) { r.Receivers = nil }),
		"no connections":          push(func(r *gannet.PushRequest) { r.Conns = nil }),
		"codes of nobody":         call("Kick", &gannet.KickRequest{Epoch: self, Codes: []int32{1}}),
	}
	transferCalls := map[string][]byte{
		"receipts of nothing":   message("Receipts", thrift.CALL, 1, no),
		"records without end":   call("Receipts", &gannet.ReceiptsRequest{Records: records}),
		"an end behind them":    call("Receipts", &gannet.ReceiptsRequest{Records: records, Ends: []int32{end + 1}}),
		"an end below 0":        call("Receipts", &gannet.ReceiptsRequest{Records: records, Ends: []int32{-1}}),
		"ends that fall":        call("Receipts", &gannet.ReceiptsRequest{Records: records, Ends: []int32{end, 0}}),
		"what is no record":     call("Receipts", &gannet.ReceiptsRequest{Records: records[1:], Ends: []int32{end - 1}}),
		"a message as receipts": call("Receipts", &gannet.ReceiptsRequest{Records: message1.Append(nil), Ends: []int32{end}}),
	}
	logic, gateway, transfer := newLogicStage(t), newGatewayStage(t), newReceiptsStage(t)
	for server, calls := range map[*Server]map[string][]byte{logic.server: logicCalls, gateway.server: gatewayCalls, transfer.server: transferCalls} {
		c := raw(t, server.Address())
		for name, b := range calls {
			hostile := counted(server.Stats, "hostile.call")
			if _, err := c.Write(b); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if status := statusOf(t, c); status != gannet.REFUSED || hostile() != 1 {
				t.Errorf("%s: status %d, counted %d times", name, status, hostile())
			}
		}
		if n := server.Stats()["panics"]; n != 0 {
			t.Errorf("%d panics", n)
		}
	}
	if len(logic.logins)+len(logic.logouts)+len(logic.batches)+len(logic.queries)+len(logic.again)+len(logic.rebound)+len(gateway.pushes)+len(gateway.kicked)+len(transfer.records) != 0 {
		t.Error("some of it reached a role")
	}
}

// statusOf reads a reply and gives its status, which is the first field of all of them.
func statusOf(t *testing.T, c net.Conn) int32 {
	t.Helper()
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, int(head[2])<<8|int(head[3]))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	_, kind, _, n, err := thrift.Binary.ReadMessageBegin(b)
	if err != nil || kind != thrift.REPLY {
		t.Fatalf("message %d, %v: %q", kind, err, b)
	}
	var reply gannet.LogoutReply // has a status, and skips the rest
	if _, err := reply.FastRead(b[n+3:]); err != nil {
		t.Fatal(err)
	}
	return reply.Status
}

// A role that panics or fails ends its call only, and Kick knows no code that closes with
// nothing.
func TestRolesThatFail(t *testing.T) {
	logic, gateway := newLogicStage(t), newGatewayStage(t)
	logic.client.calls.budget.left = 0
	logic.client.calls.budget.since = time.Now().Add(time.Hour)
	logic.panics = true
	if _, err := logic.client.Forward(t.Context(), batchOf(1, 1)); !errors.Is(err, errStatus) {
		t.Errorf("a panic gives %v", err)
	}
	logic.panics, logic.err = false, errors.New("the store is away")
	if _, err := logic.client.Forward(t.Context(), batchOf(1, 1)); !errors.Is(err, errStatus) {
		t.Errorf("an error gives %v", err)
	}
	logic.err = nil
	if _, err := logic.client.Forward(t.Context(), batchOf(1, 1)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if stats := logic.server.Stats(); stats["panics"] != 1 || stats["failed.call"] != 1 {
		t.Errorf("counted as %v", stats)
	}
	for code, want := range map[protocol.Code]protocol.Code{protocol.CodeReplaced: protocol.CodeReplaced, 3999: protocol.CodeInternal, 0: protocol.CodeInternal} {
		if err := gateway.client.Kick(t.Context(), hop.Address{Gateway: self, Conn: uint64(code)}, code); err != nil || gateway.kicked[uint64(code)] != want {
			t.Errorf("%v closes with %v, %v", code, gateway.kicked[uint64(code)], err)
		}
	}
}

// hostileLogin is two logins, of which change makes one that makes no sense.
func hostileLogin(change func(*gannet.LoginRequest)) *gannet.LoginRequest {
	r := loginRequest([]hop.Login{{Hello: protocol.Hello{Device: 1}}, {}})
	change(r)
	return r
}
