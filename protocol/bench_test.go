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
