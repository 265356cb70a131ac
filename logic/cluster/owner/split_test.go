package owner

import (
	"errors"
	"fmt"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// batchOf is a batch whose entries have frames of these sizes.
func batchOf(sizes ...int) *logic.Batch {
	b := &logic.Batch{}
	for _, size := range sizes {
		start := uint32(len(b.Blob))
		b.Blob = append(b.Blob, make([]byte, size)...)
		b.Entries = append(b.Entries, logic.Entry{Frame: hop.Span{Start: start, End: uint32(len(b.Blob))}})
	}
	return b
}

func TestSplit(t *testing.T) {
	most := chain.HeadSize + ackRoom + 1000
	small, empty, half, large := batchOf(10), batchOf(), batchOf(436), batchOf(600, 600, 100, 2000, 10)
	parts := split([]*logic.Batch{small, empty, half, half, small, large, small}, most)
	var got []string
	for _, p := range parts {
		s := ""
		for _, b := range p.batches {
			s += fmt.Sprint(len(b.Entries))
		}
		if p.of != nil && (p.of != large || len(p.batches) != 1) {
			t.Errorf("%+v is a piece", p)
		}
		got = append(got, fmt.Sprintf("%s %v %v", s, p.of != nil, p.begins))
	}
	want := []string{"101 false false", "11 false false", "1 true true", "2 true false", "1 true false", "1 true false", "1 false false"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the parts are\n%q, want\n%q", got, want)
	}
	at := 0
	for _, p := range parts[2:6] {
		b := p.batches[0]
		if &b.Entries[0] != &large.Entries[at] || &b.Blob[0] != &large.Blob[0] {
			t.Errorf("a piece does not share entry %d", at)
		}
		at += len(b.Entries)
	}
	if at != len(large.Entries) {
		t.Errorf("the pieces have %d entries of %d", at, len(large.Entries))
	}
}

// TestFailedParts: what was not tried because Redis does not answer is busy, everything else
// is unknown; a batch has failed as a whole where nothing of it was carried out.
func TestFailedParts(t *testing.T) {
	broken := errors.New("broken")
	outcomes := func(b *logic.Batch) (s string) {
		for _, e := range b.Entries {
			s += fmt.Sprint(e.Outcome)
			if e.Outcome == logic.Refused && (e.Code != protocol.CodeBusy || e.RetryAfter <= 0) {
				t.Errorf("it is refused as %+v", e)
			}
		}
		return s
	}
	for _, c := range []struct {
		name    string
		err     error
		from    int  // the first part that fails
		tried   bool // that one was
		want    string
		wantErr bool
	}{
		{"Redis is away", waits(broken), 0, false, "333", false},
		{"Redis went away", waits(broken), 0, true, "000", true},
		{"Redis went away later", waits(broken), 1, true, "103", false},
		{"the broker is away", broken, 0, false, "000", true},
		{"the broker went away later", broken, 1, true, "100", false},
	} {
		b := batchOf(600, 600, 600)
		for i := range b.Entries {
			b.Entries[i].Outcome = logic.Applied
		}
		parts := split([]*logic.Batch{b}, chain.HeadSize+ackRoom+1000)
		if len(parts) != 3 {
			t.Fatalf("there are %d parts", len(parts))
		}
		for i := c.from; i < 3; i++ {
			parts[i].fail(c.err, c.tried && i == c.from)
		}
		if got := outcomes(b); got != c.want || (b.Err != nil) != c.wantErr {
			t.Errorf("%s: the outcomes are %s, error %v; want %s", c.name, got, b.Err, c.want)
		}
	}
}

// TestRoom: a batch of frames that is as large as it may be is one record, and of a larger
// one two are made. What is counted of a frame is what the entry of its message takes.
func TestRoom(t *testing.T) {
	most, frame := Room(chain.MaxRecord)
	send := protocol.Send{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, ClientID: 1, Content: protocol.ContentText, Body: make([]byte, 128)}
	push := protocol.Message{Target: send.Target, Sender: 1, Device: 1, ClientID: 1, Content: send.Content, Body: send.Body}
	b := &logic.Batch{}
	for bytes := 0; ; {
		if bytes += len(send.AppendFrame(nil, 7)) + frame; bytes > most {
			break
		}
		start := uint32(len(b.Blob))
		b.Blob = push.AppendFrame(b.Blob)
		b.Entries = append(b.Entries, logic.Entry{Op: hop.OpMessage, Frame: hop.Span{Start: start, End: uint32(len(b.Blob))}})
	}
	if parts := split([]*logic.Batch{b}, chain.MaxRecord); len(parts) != 1 {
		t.Errorf("of a batch of %d frames %d records are made", len(b.Entries), len(parts))
	}
	b.Entries = append(b.Entries, b.Entries[0])
	if parts := split([]*logic.Batch{b}, chain.MaxRecord); len(parts) != 2 {
		t.Errorf("of a batch with one frame too many %d records are made", len(parts))
	}
	r := &hop.Record{Blob: b.Blob}
	for _, e := range b.Entries {
		r.Entries = append(r.Entries, hop.RecordEntry{Op: e.Op, Frame: e.Frame})
	}
	if size := chain.HeadSize + len(r.AppendEntries(nil)); size > chain.MaxRecord-ackRoom+entrySize*4 {
		t.Errorf("the record has %d bytes", size)
	}
}

// TestFitting: of the batches that wait as many are written in one turn as one record has
// room for, and a larger one is alone.
func TestFitting(t *testing.T) {
	most := chain.HeadSize + ackRoom + 1000
	small, half, large := batchOf(10), batchOf(436), batchOf(600, 600)
	for want, list := range map[int][]*logic.Batch{
		0: nil,
		1: {large, small},
		2: {half, half, small},
		3: {small, half, small, large},
		4: {small, half, small, small},
	} {
		if got := fitting(list, most); got != want {
			t.Errorf("%d of %d batches are written in one turn, want %d", got, len(list), want)
		}
	}
}

// TestAcksOfARecord: a record of acks alone takes as many as it has room for, at most
// maxAcks, and one that is full of messages those for which room is left.
func TestAcksOfARecord(t *testing.T) {
	room, _ := Room(chain.MaxRecord)
	for _, c := range []struct {
		name    string
		batches []*logic.Batch
		most    int
		want    int
	}{
		{"acks alone", nil, chain.MaxRecord, maxAcks},
		{"acks alone in a short record", nil, chain.HeadSize + 10*entrySize, 10},
		{"a full record", []*logic.Batch{batchOf(room - entrySize)}, chain.MaxRecord, ackRoom / entrySize},
		{"a message that is longer than a record", []*logic.Batch{batchOf(5000)}, 1000, 1},
	} {
		if got := acksFor(c.batches, c.most); got != c.want {
			t.Errorf("%s: there is room for %d acks, want %d", c.name, got, c.want)
		}
	}
}
