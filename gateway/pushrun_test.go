package gateway

import (
	"slices"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// lengths gives how many frames each run of a push has; -1 for what is none.
func lengths(p *hop.Push) (list []int) {
	for i := 0; i < p.Len(); {
		r, ok := runAt(p, i)
		if !ok {
			list = append(list, -1)
			i++
			continue
		}
		list = append(list, r.frames)
		i += r.frames
	}
	return list
}

func TestWhatIsPushedAtOnce(t *testing.T) {
	receipt := protocol.Receipt{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, User: 1, Delivered: 3}.AppendFrame(nil)
	for _, c := range []struct {
		name   string
		list   []delivery
		change func(*hop.Push)
		want   []int
	}{
		{"a row of messages", []delivery{{pushFrame(1, 2, 1, 9), []uint64{7}}, {pushFrame(1, 2, 2, 20), []uint64{7}}, {pushFrame(1, 2, 3, 1), []uint64{7}}}, nil, []int{3}},
		{"to several devices", []delivery{{pushFrame(1, 2, 1, 9), []uint64{7, 8}}, {pushFrame(1, 2, 2, 9), []uint64{7, 8}}}, nil, []int{2}},
		{"to others", []delivery{{pushFrame(1, 2, 1, 9), []uint64{7, 8}}, {pushFrame(1, 2, 2, 9), []uint64{7}}}, nil, []int{1, 1}},
		{"of two conversations", []delivery{{pushFrame(1, 2, 1, 9), []uint64{7}}, {pushFrame(3, 2, 2, 9), []uint64{7}}}, nil, []int{1, 1}},
		{"the same again", []delivery{{pushFrame(1, 2, 1, 9), []uint64{7}}, {pushFrame(1, 2, 1, 9), []uint64{7}}}, nil, []int{1, 1}},
		{"receipts", []delivery{{receipt, []uint64{7}}, {receipt, []uint64{7}}}, nil, []int{1, 1}},
		{"a receipt behind a message", []delivery{{pushFrame(1, 2, 1, 9), []uint64{7}}, {receipt, []uint64{7}}}, nil, []int{1, 1}},
		{"amid what is no push", []delivery{{pushFrame(1, 2, 1, 9), []uint64{7}}, {[]byte{0, 0}, []uint64{7}}, {pushFrame(1, 2, 2, 9), []uint64{7}}}, nil, []int{1, -1, 1}},
		{"with bytes in between", []delivery{{pushFrame(1, 2, 1, 9), []uint64{7}}, {pushFrame(1, 2, 2, 9), []uint64{7}}, {pushFrame(1, 2, 3, 9), []uint64{7}}}, func(p *hop.Push) {
			p.Frames, p.Receivers = slices.Delete(p.Frames, 1, 2), slices.Delete(p.Receivers, 1, 2)
		}, []int{1, 1}},
	} {
		p := pushOf(c.list)
		if c.change != nil {
			c.change(p)
		}
		if got := lengths(p); !slices.Equal(got, c.want) {
			t.Errorf("%s: runs of %v, want %v", c.name, got, c.want)
		}
	}
}

// Of a run that does not fit whole the frames at its beginning go out, and one hint
// stands for the others.
func TestRunThatDoesNotFitWhole(t *testing.T) {
	p := newParked(t)
	p.asked("WELCOME", 1, true)
	p.write()
	const size, fit = 32 << 10, outboxBytes / (32 << 10)
	var list []delivery
	for seq := range uint64(fit + 3) {
		list = append(list, delivery{pushFrame(2, 1, seq+1, size), []uint64{p.s.id}})
	}
	if absent := p.Push(t.Context(), pushOf(list)); len(absent) != 0 {
		t.Fatalf("absent: %v", absent)
	}
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	o := &p.s.outbox
	var seqs []uint64
	for _, b := range o.normal.list[o.normal.next:] {
		h, ok := peek(b)
		if !ok {
			t.Fatal("no whole frame")
		}
		seqs = append(seqs, h.message.Seq)
	}
	if len(seqs) == 0 || len(seqs) >= len(list) || o.pushed > outboxBytes || o.pushed+len(list[0].Frame) <= outboxBytes {
		t.Fatalf("%d of %d frames wait, %d bytes", len(seqs), len(list), o.pushed)
	}
	for i, seq := range seqs {
		if seq != uint64(i+1) {
			t.Fatalf("waiting: %v", seqs)
		}
	}
	want := protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: uint64(len(list))}
	if len(o.hints) != 1 || o.hints[0] != want {
		t.Errorf("hints %v, want %v", o.hints, want)
	}
	if n := p.Stats()["push.outbox_full"]; n != uint64(len(list)-len(seqs)) {
		t.Errorf("%d counted as hints, want %d", n, len(list)-len(seqs))
	}
	if u := p.s.unacked; len(u) != 1 || u[0].first != 1 || u[0].last != uint64(len(seqs)) {
		t.Errorf("waits for acks of %+v", u)
	}
}
