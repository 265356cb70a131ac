package rpc

import (
	"context"
	"runtime"
	"testing"

	"github.com/cloudwego/gopkg/protocol/thrift"

	"gannet/idl/kitex_gen/gannet"
	"gannet/internal/hop"
)

// FuzzPayload: what passes for a message can be decoded as any call or answer without a
// panic, and makes room for little more than came.
func FuzzPayload(f *testing.F) {
	b := batchOf(3, 10)
	f.Add(call("Forward", &gannet.ForwardRequest{Conns: signed64(b.Conns), Users: signed64(b.Users), Devices: signed64(b.Devices), Ends: signed32(b.Ends), Frames: b.Frames})[4:])
	f.Add(call("Push", &gannet.PushRequest{Frames: pairs([]hop.Span{{Start: 0, End: 1}}), Conns: []int64{1}, Blob: []byte("x"), Everything: true})[4:])
	f.Add(message("Login", thrift.REPLY, 1, result(&gannet.LoginReply{Codes: []int32{0}, Frames: [][]byte{[]byte("frame")}}))[4:])
	f.Add([]byte{0x80, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, byte(thrift.LIST), 0, 2, byte(thrift.I64), 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkPayload(b) != nil {
			return
		}
		_, _, _, n, err := thrift.Binary.ReadMessageBegin(b)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, v := range []thrift.FastCodec{
			&gannet.LogicForwardArgs{}, &gannet.LogicForwardResult{}, &gannet.LogicLoginArgs{}, &gannet.LogicLoginResult{},
			&gannet.LogicLogoutArgs{}, &gannet.LogicBindAgainArgs{}, &gannet.LogicBindAgainResult{}, &gannet.LogicQueryArgs{}, &gannet.LogicRedeliverArgs{}, &gannet.GatewayPushArgs{},
			&gannet.GatewayPushResult{}, &gannet.GatewayKickArgs{}, &gannet.TransferReceiptsArgs{}, &gannet.NodeHealthResult{},
		} {
			_, _ = v.FastRead(b[n:])
		}
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 1<<20+1000*uint64(len(b)) {
			t.Errorf("%d bytes became %d", len(b), made)
		}
	})
}

// TestObjects: how many objects a call costs does not depend on how many messages it
// carries.
func TestObjects(t *testing.T) {
	st := newLogicStage(t)
	a := hop.Answers{}
	st.forward = func(context.Context, *hop.Forward) (hop.Answers, error) { return a, nil }
	each := func(n int) float64 {
		batch := batchOf(n, 128)
		a = acked(batch)
		st.batches = nil
		return testing.AllocsPerRun(200, func() {
			if _, err := st.client.Forward(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		})
	}
	one, many := each(1), each(256)
	t.Logf("%v objects for a message, %v for 256", one, many)
	if many > one+10 || one > 100 {
		t.Errorf("%v objects for a message, %v for 256", one, many)
	}
}
