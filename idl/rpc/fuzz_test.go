package rpc

import (
	"context"
	"runtime"
	"testing"

	"github.com/cloudwego/gopkg/protocol/thrift"
	"github.com/cloudwego/kitex/pkg/serviceinfo"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/gateway"
	"gannet/idl/kitex_gen/gannet/logic"
	"gannet/idl/kitex_gen/gannet/transfer"
	"gannet/internal/hop"
)

// FuzzPayload: what passes for a message can be decoded as the call or answer that it is called
// without a panic, and makes room for little more than came.
func FuzzPayload(f *testing.F) {
	b := batchOf(3, 10)
	f.Add(call("Forward", &gannet.ForwardRequest{Conns: signed64(b.Conns), Users: signed64(b.Users), Devices: signed64(b.Devices), Ends: signed32(b.Ends), Frames: b.Frames})[4:])
	f.Add(call("Push", &gannet.PushRequest{Frames: pairs([]hop.Span{{Start: 0, End: 1}}), Conns: []int64{1}, Blob: []byte("x"), Everything: true})[4:])
	f.Add(message("Login", thrift.REPLY, 1, result(&gannet.LoginReply{Codes: []int32{0}, Frames: [][]byte{[]byte("frame")}}))[4:])
	f.Add([]byte{0x80, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, byte(thrift.LIST), 0, 2, byte(thrift.I64), 0x7f, 0xff, 0xff, 0xff})
	f.Add([]byte{0x80, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xaa, 0, 2, 0, 0, 0, 0, 0})                                     // no kind
	f.Add([]byte{0x80, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, byte(thrift.MAP), 0, 2, 0xaa, 0xaa, 0, 0, 0, 1, 0, 0, 0, 0, 0}) // a map of them
	// Lists of other kinds than a PushRequest has, after which its decoder comes to a kind that there is not.
	f.Add([]byte("\x80\x01\x00\x01\x00\x00\x00\x04Push\x00\x00\x00\x01\f\x00\x01\n\x00\x01\x00\x00\x00\x00\f\x00\x00\x00\x02 \x05\x01\x0f\x00\x02\b\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x01\x0f\x00\x03\b\x00\x00\x00\x00\x0f\x00\x04\n\x00\x00\x00\x01\x00\x00\xfa\x00\x00\xfa\x00\x01\v\x00\x06\x00\x00\x00\x01x\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkPayload(b) != nil {
			return
		}
		name, _, _, n, err := thrift.Binary.ReadMessageBegin(b)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, service := range []*serviceinfo.ServiceInfo{logic.NewServiceInfo(), gateway.NewServiceInfo(), transfer.NewServiceInfo()} {
			if method := service.Methods[name]; method != nil { // nobody decodes what is no method's
				_, _ = method.NewArgs().(thrift.FastCodec).FastRead(b[n:])
				_, _ = method.NewResult().(thrift.FastCodec).FastRead(b[n:])
			}
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
