package rpc

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"gannet/idl/kitex_gen/gannet"
	"gannet/internal/hop"
	"gannet/protocol"

	"github.com/cloudwego/gopkg/protocol/thrift"
)

// rogue is a node that answers every call with what a test says.
type rogue struct {
	net.Listener
	answer func(name string, sequence int32) []byte // nil: it hangs up
}

// newRogue starts one; it ends with the test.
func newRogue(t *testing.T, answer func(name string, sequence int32) []byte) *rogue {
	r := &rogue{Listener: listen(t), answer: answer}
	t.Cleanup(func() { r.Close() })
	go func() {
		for {
			c, err := r.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

func (r *rogue) serve(c net.Conn) {
	defer c.Close()
	for {
		head := make([]byte, 4)
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		call := make([]byte, binary.BigEndian.Uint32(head))
		if _, err := io.ReadFull(c, call); err != nil {
			return
		}
		name, _, sequence, _, err := thrift.Binary.ReadMessageBegin(call)
		if err != nil {
			return
		}
		b := r.answer(name, sequence)
		if b == nil {
			return
		}
		if _, err := c.Write(b); err != nil || len(b) < 4 || uint32(len(b)-4) < binary.BigEndian.Uint32(b) {
			return
		}
	}
}

// framed puts the length before a message.
func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

// message encodes a message with what lies in it.
func message(name string, kind thrift.TMessageType, sequence int32, content []byte) []byte {
	b := make([]byte, thrift.Binary.MessageBeginLength(name))
	thrift.Binary.WriteMessageBegin(b, name, kind, sequence)
	return framed(append(b, content...))
}

// result is a reply as the field that a result has it in.
func result(reply thrift.FastCodec) []byte { return inStruct(0, reply) }

// inStruct is a struct with one field, which is a struct.
func inStruct(id uint16, value thrift.FastCodec) []byte {
	b := []byte{byte(thrift.STRUCT), byte(id >> 8), byte(id)}
	content := make([]byte, value.BLength())
	value.FastWriteNocopy(content, nil)
	return append(append(b, content...), byte(thrift.STOP))
}

func replying(reply thrift.FastCodec) func(string, int32) []byte {
	return func(name string, sequence int32) []byte {
		return message(name, thrift.REPLY, sequence, result(reply))
	}
}

// unreadable are the bytes that are not read at all.
var unreadable = map[string]bool{
	"rubbish": true, "a frame of 2 GiB": true, "a frame of nothing": true, "no framing": true, "a name of 2 GiB": true,
	"a head alone": true, "an exception of nothing": true, "a list of 2^31": true, "structs a thousand deep": true,
	"bytes behind the end": true, "a list of flags": true, "a list of another kind": true,
}

// Whatever bytes a node sends, the call gives an error, which is counted.
func TestBytesThatAreNoAnswer(t *testing.T) {
	huge := append([]byte{byte(thrift.STRUCT), 0, 0, byte(thrift.LIST), 0, 2, byte(thrift.I32)}, 0x7f, 0xff, 0xff, 0xff)
	deep := make([]byte, 0, 3*1000)
	for range 1000 {
		deep = append(deep, byte(thrift.STRUCT), 0, 0)
	}
	for name, answer := range map[string]func(name string, sequence int32) []byte{
		"nothing":            func(string, int32) []byte { return nil },
		"rubbish":            func(string, int32) []byte { return []byte("HTTP/1.1 200 OK\r\n\r\n") },
		"a frame of 2 GiB":   func(string, int32) []byte { return []byte{0x7f, 0xff, 0xff, 0xff, 0x80, 1, 0, 2} },
		"a frame of nothing": func(string, int32) []byte { return []byte{0, 0, 0, 0, 0x80, 1, 0, 2} },
		"half a frame": func(n string, s int32) []byte {
			return message(n, thrift.REPLY, s, result(&gannet.ForwardReply{}))[:20]
		},
		"no framing":       func(n string, s int32) []byte { return message(n, thrift.REPLY, s, result(&gannet.ForwardReply{}))[4:] },
		"a name of 2 GiB":  func(string, int32) []byte { return framed([]byte{0x80, 1, 0, 2, 0x7f, 0xff, 0xff, 0xff}) },
		"a head alone":     func(n string, s int32) []byte { return message(n, thrift.REPLY, s, nil) },
		"another sequence": func(n string, s int32) []byte { return message(n, thrift.REPLY, s+1, result(&gannet.ForwardReply{})) },
		"another method": func(_ string, s int32) []byte {
			return message("Login", thrift.REPLY, s, result(&gannet.LoginReply{}))
		},
		"a call":                  func(n string, s int32) []byte { return message(n, thrift.CALL, s, result(&gannet.ForwardReply{})) },
		"an unknown message":      func(n string, s int32) []byte { return message(n, 77, s, result(&gannet.ForwardReply{})) },
		"an exception of nothing": func(n string, s int32) []byte { return message(n, thrift.EXCEPTION, s, nil) },
		"an exception": func(n string, s int32) []byte {
			return message(n, thrift.EXCEPTION, s, []byte{11, 0, 1, 0, 0, 0, 1, 'x', 0})
		},
		"no content":              func(n string, s int32) []byte { return message(n, thrift.REPLY, s, []byte{0}) },
		"a list of 2^31":          func(n string, s int32) []byte { return message(n, thrift.REPLY, s, huge) },
		"structs a thousand deep": func(n string, s int32) []byte { return message(n, thrift.REPLY, s, deep) },
		"bytes behind the end": func(n string, s int32) []byte {
			return message(n, thrift.REPLY, s, append(result(&gannet.ForwardReply{}), 1, 2, 3))
		},
		"a list of flags": func(n string, s int32) []byte {
			list := append([]byte{byte(thrift.STRUCT), 0, 0, byte(thrift.LIST), 0, 2, byte(thrift.BOOL), 0, 0, 4, 0}, make([]byte, 1024)...)
			return message(n, thrift.REPLY, s, append(list, 0, 0))
		},
		"a list of another kind": func(n string, s int32) []byte { // a decoder of i32 would take half of it
			list := append([]byte{byte(thrift.STRUCT), 0, 0, byte(thrift.LIST), 0, 2, byte(thrift.I64), 0, 0, 0, 2}, make([]byte, 16)...)
			return message(n, thrift.REPLY, s, append(list, 0, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			node, registry := newRogue(t, answer), newRegistry()
			log, lines := newLog()
			client := NewLogics(registry, 1, log)
			defer client.Close()
			registry.put(queues, Node{ID: self, Address: node.Addr().String()})
			client.calls.budget.left = 2
			if a, err := client.Forward(t.Context(), batchOf(2, 10)); err == nil {
				t.Errorf("%d answers came", a.Len())
			}
			stats := client.Stats()
			if stats["failed.try"]+stats["hostile.answer"] == 0 || stats["failed.call"] != 1 {
				t.Errorf("counted as %v", stats)
			}
			if unreadable[name] != (stats["hostile.payload"] > 0) {
				t.Errorf("%d times it was no message", stats["hostile.payload"])
			}
			if n := lines.most(); n == 0 || n > 5 {
				t.Errorf("one thing was logged %d times", n)
			}
		})
	}
}

// Answers that can be read and make no sense are errors of the call.
func TestAnswersThatMakeNoSense(t *testing.T) {
	batch := batchOf(2, 10)
	forward := func(l *Logics) error { _, err := l.Forward(context.Background(), batch); return err }
	login := func(l *Logics) error { _, err := l.Login(context.Background(), make([]hop.Login, 1)); return err }
	enter := func(l *Logics) error { _, err := l.Enter(context.Background(), make([]hop.Binding, 1)); return err }
	query := func(l *Logics) error { _, err := l.Query(context.Background(), &hop.Query{}); return err }
	frames := []byte("frames")
	for name, c := range map[string]struct {
		reply thrift.FastCodec
		call  func(*Logics) error
	}{
		"more answers than bounds":  {&gannet.ForwardReply{Of: []int32{0, 1}, Ends: []int32{6}, Frames: frames}, forward},
		"bounds that fall":          {&gannet.ForwardReply{Of: []int32{0, 1}, Ends: []int32{6, 3}, Frames: frames}, forward},
		"bounds below 0":            {&gannet.ForwardReply{Of: []int32{0}, Ends: []int32{-1}, Frames: frames}, forward},
		"bounds behind the bytes":   {&gannet.ForwardReply{Of: []int32{0}, Ends: []int32{7}, Frames: frames}, forward},
		"bytes behind the bounds":   {&gannet.ForwardReply{Of: []int32{0}, Ends: []int32{5}, Frames: frames}, forward},
		"an answer to nothing":      {&gannet.ForwardReply{Of: []int32{2}, Ends: []int32{6}, Frames: frames}, forward},
		"an answer to frame -1":     {&gannet.ForwardReply{Of: []int32{-1}, Ends: []int32{6}, Frames: frames}, forward},
		"two answers to one":        {&gannet.ForwardReply{Of: []int32{0, 0}, Ends: []int32{3, 6}, Frames: frames}, forward},
		"an unknown status":         {&gannet.ForwardReply{Status: 99}, forward},
		"unavailable":               {&gannet.ForwardReply{Status: gannet.UNAVAILABLE}, forward},
		"refused":                   {&gannet.ForwardReply{Status: gannet.REFUSED}, forward},
		"moved to nowhere":          {&gannet.ForwardReply{Status: gannet.MOVED}, forward},
		"moved to no address":       {&gannet.ForwardReply{Status: gannet.MOVED, Address: "rubbish"}, forward},
		"moved to port 0":           {&gannet.ForwardReply{Status: gannet.MOVED, Address: "127.0.0.1:0"}, forward},
		"moved to a long name":      {&gannet.ForwardReply{Status: gannet.MOVED, Address: string(make([]byte, 1000)) + ":80"}, forward},
		"a code out of range":       {welcoming(func(r *gannet.LoginReply) { r.Codes[0] = 1 << 16 }), login},
		"a code below 0":            {welcoming(func(r *gannet.LoginReply) { r.Codes[0] = -1 }), login},
		"a heartbeat out of range":  {welcoming(func(r *gannet.LoginReply) { r.Heartbeats[0] = 1 << 16 }), login},
		"nobody welcomed":           {&gannet.LoginReply{}, login},
		"two welcomed of one":       {loginReply(make([]hop.Welcome, 2)), login},
		"a welcome without a frame": {welcoming(func(r *gannet.LoginReply) { r.Frames = nil }), login},
		"nobody entered":            {&gannet.EnterReply{}, enter},
		"two entered of one":        {&gannet.EnterReply{Codes: []int32{0, 0}}, enter},
		"a code of entering":        {&gannet.EnterReply{Codes: []int32{1 << 16}}, enter},
		"not entered":               {&gannet.EnterReply{Status: gannet.UNAVAILABLE, Codes: []int32{0}}, enter},
		"a login that was refused":  {&gannet.LoginReply{Status: gannet.REFUSED}, login},
		"a page longer than a page": {&gannet.FramesReply{Frames: make([]byte, 5+protocol.MaxFrame)}, query},
		"an unknown status of page": {&gannet.FramesReply{Status: -5}, query},
		"the answer to another":     {&gannet.FramesReply{Status: gannet.MOVED}, query},
	} {
		t.Run(name, func(t *testing.T) {
			node, registry := newRogue(t, replying(c.reply)), newRegistry()
			log, _ := newLog()
			client := NewLogics(registry, queues, log)
			defer client.Close()
			registry.put(queues, Node{ID: self, Address: node.Addr().String()})
			client.calls.budget.left = 2
			if err := c.call(client); err == nil {
				t.Error("it was taken for an answer")
			}
			stats := client.Stats()
			if stats["failed.try"]+stats["hostile.answer"]+stats["moved"] == 0 || stats["failed.call"] != 1 {
				t.Errorf("counted as %v", stats)
			}
		})
	}
}

// welcoming is the answer to a login, changed.
func welcoming(change func(*gannet.LoginReply)) *gannet.LoginReply {
	r := loginReply(make([]hop.Welcome, 1))
	change(r)
	return r
}

// A code that this process does not know says to come again.
func TestUnknownCode(t *testing.T) {
	rogue := func(reply thrift.FastCodec) *Logics {
		node, registry := newRogue(t, replying(reply)), newRegistry()
		log, _ := newLog()
		client := NewLogics(registry, queues, log)
		t.Cleanup(client.Close)
		registry.put(queues, Node{ID: self, Address: node.Addr().String()})
		return client
	}
	w, err := rogue(welcoming(func(r *gannet.LoginReply) { r.Codes[0] = 3999 })).Login(t.Context(), make([]hop.Login, 1))
	if err != nil || w[0].Code != protocol.CodeLoginUnavailable {
		t.Errorf("the welcome is %v, %v", w, err)
	}
	codes, err := rogue(&gannet.EnterReply{Codes: []int32{3999}}).Enter(t.Context(), make([]hop.Binding, 1))
	if err != nil || codes[0] != protocol.CodeLoginUnavailable {
		t.Errorf("the code is %v, %v", codes, err)
	}
}

// A gateway that answers rubbish is an error of the push, and never its end.
func TestGatewayThatMakesNoSense(t *testing.T) {
	push := &hop.Push{Blob: []byte("x"), Frames: []hop.Span{{Start: 0, End: 1}}, Receivers: []hop.Span{{Start: 0, End: 1}}, Conns: []uint64{1}}
	for name, answer := range map[string]func(string, int32) []byte{
		"nothing":           func(string, int32) []byte { return nil },
		"no content":        func(n string, s int32) []byte { return message(n, thrift.REPLY, s, []byte{0}) },
		"an unknown status": replying(&gannet.PushReply{Status: 99}),
		"two absent of one": replying(&gannet.PushReply{Absent: []int64{1, 2}}),
		"a rogue life":      replying(&gannet.PushReply{Status: gannet.OTHER}),
	} {
		t.Run(name, func(t *testing.T) {
			node, registry := newRogue(t, answer), newRegistry()
			registry.at[self] = node.Addr().String()
			log, _ := newLog()
			st := &gatewayStage{client: NewGateways(registry, log)}
			defer st.client.Close()
			if _, err := st.push(t, self, push); err == nil {
				t.Error("it was taken for an answer")
			}
			if stats := st.client.Stats(); stats["failed.try"]+stats["hostile.answer"] != 1 {
				t.Errorf("counted as %v", stats)
			}
		})
	}
}
