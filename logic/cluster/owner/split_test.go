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
