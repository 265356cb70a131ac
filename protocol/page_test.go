package protocol

import (
	"bytes"
	"slices"
	"testing"
)

// TestPageIsBuiltAsItGrows does what a server does: it begins the page behind
// what its buffer holds already, adds items until there is no room, and only then
// knows the header.
func TestPageIsBuiltAsItGrows(t *testing.T) {
	before := AppendEmpty(nil, TypeDone, 1)
	start := len(before)

	states := []State{
		{Target: Target{KindDirect, 2}, Head: 5, Delivered: 4, Read: 3, PeerDelivered: 2, PeerRead: 1, Unread: 2, Last: []byte{}},
		{Target: Target{KindGroup, 7}, Head: 1, Last: Message{Seq: 1, Body: []byte("hi")}.AppendPayload(nil)},
	}
	dst := Synced{Next: 99}.AppendFrame(bytes.Clone(before), 2)
	for _, s := range states {
		dst = s.Append(dst)
	}
	after := Target{KindGroup, 8}
	dst = Synced{More: true, After: after, Count: 2}.Finish(dst, start)
	var synced Synced
	decodeSecond(t, dst, before, TypeSynced, &synced)
	if synced.Next != 99 || !synced.More || synced.After != after || synced.Count != 2 {
		t.Errorf("the page is %+v", synced)
	}
	got := slices.Collect(synced.States())
	if len(got) != 2 || got[0].Target != states[0].Target || got[0].Unread != 2 || !bytes.Equal(got[1].Last, states[1].Last) {
		t.Errorf("the conversations are %+v", got)
	}

	target := Target{KindDirect, 2}
	dst = Messages{Target: target}.AppendFrame(bytes.Clone(before), 2)
	for seq := uint64(3); seq <= 4; seq++ {
		dst = AppendMessage(dst, Message{Seq: seq, Body: []byte("hi")}.AppendPayload(nil))
	}
	dst = Messages{First: 3, Last: 5, Head: 9, Count: 2}.Finish(dst, start)
	var messages Messages
	decodeSecond(t, dst, before, TypeMessages, &messages)
	if messages.Target != target || messages.First != 3 || messages.Last != 5 || messages.Head != 9 {
		t.Errorf("the page is %+v", messages)
	}
	var seqs []uint64
	for m := range messages.All() {
		seqs = append(seqs, m.Seq)
	}
	if !slices.Equal(seqs, []uint64{3, 4}) {
		t.Errorf("the messages are %v", seqs)
	}
}

// decodeSecond checks that what was before the page is untouched, and decodes it.
func decodeSecond(t *testing.T, b, before []byte, want Type, p payload) {
	t.Helper()
	if !bytes.HasPrefix(b, before) {
		t.Fatalf("the frame before the page became %x", b[:len(before)])
	}
	f, n, err := Split(b[len(before):], MaxFrame)
	if err != nil || n != len(b)-len(before) || f.Type != want {
		t.Fatalf("%s, took %d of %d bytes, error is %v", f.Type, n, len(b)-len(before), err)
	}
	if err := p.Decode(f.Payload); err != nil {
		t.Fatal(err)
	}
}

// TestWalkEndsWhenTheReaderHasEnough breaks out of a page after its first item.
func TestWalkEndsWhenTheReaderHasEnough(t *testing.T) {
	b := Synced{}.AppendFrame(nil, 1)
	b = State{Head: 1}.Append(b)
	b = State{Head: 2}.Append(b)
	b = Synced{Count: 2}.Finish(b, 0)
	var m Synced
	if err := m.Decode(b[HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	n := 0
	for s := range m.States() {
		if n++; s.Head != 1 {
			t.Errorf("the first head is %d", s.Head)
		}
		break
	}
	if n != 1 {
		t.Errorf("saw %d conversations", n)
	}
}

// TestReusedPage decodes a bad page over a good one: nothing of the good one may
// show.
func TestReusedPage(t *testing.T) {
	good := AppendMessage(Messages{}.AppendFrame(nil, 1), Message{Seq: 1}.AppendPayload(nil))
	good = Messages{First: 1, Last: 1, Count: 1}.Finish(good, 0)
	var m Messages
	if err := m.Decode(good[HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	if err := m.Decode(good[HeaderSize : HeaderSize+20]); err != ErrPayload {
		t.Fatalf("error is %v", err)
	}
	for message := range m.All() {
		t.Errorf("a page that failed has message %d", message.Seq)
	}
}
