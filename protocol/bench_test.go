package protocol

import "testing"

// BenchmarkMessage is what the codec costs a message of 128 bytes on its way:
// SEND is split off and decoded, PUSH encoded, split off and decoded.
func BenchmarkMessage(b *testing.B) {
	in := Send{Target: Target{KindDirect, 2}, ClientID: 1, Content: ContentText, Body: make([]byte, 128)}.AppendFrame(nil, 1)
	out := make([]byte, 0, 512)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var send Send
		var push Message
		f, _, err := Split(in, MaxFrame)
		if err == nil {
			err = send.Decode(f.Payload)
		}
		if err != nil {
			b.Fatal(err)
		}
		out = Message{Target: send.Target, Seq: 1, Time: 2, Sender: 3, Device: 4, ClientID: send.ClientID, Content: send.Content, Body: send.Body}.AppendFrame(out[:0])
		if f, _, err = Split(out, MaxFrame); err == nil {
			err = push.Decode(f.Payload)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPage is a page of history of 256 messages of 128 bytes: encoded,
// decoded and walked.
func BenchmarkPage(b *testing.B) {
	message := Message{Target: Target{KindDirect, 2}, Seq: 1, Body: make([]byte, 128)}.AppendPayload(nil)
	out := make([]byte, 0, MaxFrame)
	b.ReportAllocs()
	for b.Loop() {
		out = Messages{}.AppendFrame(out[:0], 1)
		for range MaxPage {
			out = AppendMessage(out, message)
		}
		out = Messages{First: 1, Last: MaxPage, Count: MaxPage}.Finish(out, 0)
		f, _, err := Split(out, MaxFrame)
		if err != nil {
			b.Fatal(err)
		}
		var page Messages
		if err := page.Decode(f.Payload); err != nil {
			b.Fatal(err)
		}
		n := 0
		for m := range page.All() {
			n += len(m.Body)
		}
		if n != 128*MaxPage {
			b.Fatalf("%d bytes", n)
		}
	}
}

func BenchmarkPartition(b *testing.B) {
	c := Conversation{KindDirect, 1, 2}
	n := 0
	for b.Loop() {
		c.B++
		n += c.Partition()
	}
}

// BenchmarkCursors is what follows a message: SENDACK, PUSHACK and RECEIPT, each
// encoded, split off and decoded.
func BenchmarkCursors(b *testing.B) {
	out := make([]byte, 0, 512)
	target := Target{KindDirect, 2}
	b.ReportAllocs()
	for b.Loop() {
		out = SendAck{ClientID: 1, Seq: 2, Time: 3}.AppendFrame(out[:0], 1)
		var ack SendAck
		if err := ack.Decode(firstPayload(b, out)); err != nil {
			b.Fatal(err)
		}
		out = Cursor{Target: target, Seq: ack.Seq}.AppendPushAck(out[:0], 0)
		var cursor Cursor
		if err := cursor.Decode(firstPayload(b, out)); err != nil {
			b.Fatal(err)
		}
		out = Receipt{Target: cursor.Target, Delivered: cursor.Seq, Read: 1, User: 3, Device: 4}.AppendFrame(out[:0])
		var receipt Receipt
		if err := receipt.Decode(firstPayload(b, out)); err != nil {
			b.Fatal(err)
		}
		if receipt.Delivered != 2 {
			b.Fatalf("delivered is %d", receipt.Delivered)
		}
	}
}

// firstPayload gives the payload of the first frame of stream.
func firstPayload(b *testing.B, stream []byte) []byte {
	f, n, err := Split(stream, MaxFrame)
	if err != nil || n == 0 {
		b.Fatal("no frame")
	}
	return f.Payload
}

// BenchmarkLogin is HELLO with a token of 300 bytes, and WELCOME.
func BenchmarkLogin(b *testing.B) {
	out := make([]byte, 0, 512)
	token, name, server := make([]byte, 300), []byte("gannet-go"), make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		out = Hello{Version: Version, Token: token, Device: 1, Name: name}.AppendFrame(out[:0], 1)
		var hello Hello
		if err := hello.Decode(firstPayload(b, out)); err != nil {
			b.Fatal(err)
		}
		out = Welcome{Version: hello.Version, User: 1, MaxFrame: MaxFrame, Server: server}.AppendFrame(out[:0], 1)
		var welcome Welcome
		if err := welcome.Decode(firstPayload(b, out)); err != nil {
			b.Fatal(err)
		}
		if len(hello.Name) != len(name) || len(welcome.Server) != len(server) {
			b.Fatalf("%+v, %+v", hello, welcome)
		}
	}
}

// BenchmarkInbox is SYNC and a page of 128 conversations with previews of 64
// bytes: encoded, decoded and walked.
func BenchmarkInbox(b *testing.B) {
	last := Message{Target: Target{KindDirect, 2}, Seq: 1, Body: make([]byte, 64)}.AppendPayload(nil)
	out := make([]byte, 0, MaxFrame)
	b.ReportAllocs()
	for b.Loop() {
		out = Sync{Since: 5, Unacked: true}.AppendFrame(out[:0], 1)
		var sync Sync
		if err := sync.Decode(firstPayload(b, out)); err != nil {
			b.Fatal(err)
		}
		out = Synced{Next: sync.Since}.AppendFrame(out[:0], 1)
		for i := range uint64(128) {
			out = State{Target: Target{KindDirect, i}, Head: 9, Acked: 8, LastSize: 64, Last: last}.Append(out)
		}
		out = Synced{Count: 128}.Finish(out, 0)
		var page Synced
		if err := page.Decode(firstPayload(b, out)); err != nil {
			b.Fatal(err)
		}
		n := uint64(0)
		for s := range page.States() {
			n += s.Head - s.Acked
		}
		if n != 128 {
			b.Fatalf("%d messages", n)
		}
	}
}

// BenchmarkFresh encodes frames into buffers of their own, as replies are.
func BenchmarkFresh(b *testing.B) {
	body := make([]byte, 128)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n += len(Message{Target: Target{KindDirect, 2}, Seq: 1, Body: body}.AppendFrame(nil))
		n += len(Failure{Code: CodeBusy, RetryAfter: 5, Text: body}.AppendError(nil, 1))
		n += len(AppendEmpty(nil, TypePong, 1))
	}
	if n == 0 {
		b.Fatal("nothing was encoded")
	}
}
