package hop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"gannet/protocol"
)

// records are of every shape: empty, without frames, with bytes between frames, with
// frames in another order than their entries.
func records() map[string]Record {
	direct := protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}
	return map[string]Record{
		"empty":          {},
		"without frames": {Queue: 255, Mark: math.MaxUint64, Time: 5, Entries: []RecordEntry{{Op: OpRead, Flags: FlagCounted, Conversation: direct, User: 1, Device: 2, Seq: 3, N: 4, Own: 5}, {Op: OpAck, Conversation: direct, User: math.MaxUint64, Device: math.MaxUint64, Seq: math.MaxUint64}}},
		"with frames": {Queue: 7, Mark: 9, Time: 1_700_000_000_000, Blob: []byte("..first--second"), Entries: []RecordEntry{
			{Op: OpMessage, Conversation: direct, User: 1, Device: 2, Seq: 1, N: 1, Own: 1, Frame: Span{2, 7}},
			{Op: OpRead, Conversation: direct, User: 2, Seq: 1},
			{Op: OpMessage, Flags: FlagSilent, Conversation: protocol.Conversation{Kind: protocol.KindBroadcast}, Seq: 8, N: 7, Frame: Span{9, 15}},
		}},
		"frames in another order": {Blob: []byte("secondfirst"), Entries: []RecordEntry{{Op: OpReceipt, Frame: Span{6, 11}}, {Op: OpReceipt, Frame: Span{0, 6}}, {Op: OpReceipt, Frame: Span{6, 11}}}},
		"an entry of later days":  {Mark: 1, Blob: []byte("x"), Entries: []RecordEntry{{Op: 200, Flags: 255, Conversation: protocol.Conversation{Kind: 77, A: 1, B: 2}, Frame: Span{0, 1}}}},
	}
}

// same says whether two records have the same entries and frames, wherever the frames
// lie.
func same(a, b *Record) bool {
	if a.Queue != b.Queue || a.Mark != b.Mark || a.Time != b.Time || len(a.Entries) != len(b.Entries) {
		return false
	}
	for i := range a.Entries {
		x, y := a.Entries[i], b.Entries[i]
		x.Frame, y.Frame = Span{}, Span{}
		if x != y || !bytes.Equal(a.Bytes(i), b.Bytes(i)) {
			return false
		}
	}
	return true
}

func TestRecordRoundTrip(t *testing.T) {
	var again Record // used for all of them
	for name, r := range records() {
		encoded := r.Append([]byte("before"))
		if !bytes.HasPrefix(encoded, []byte("before")) {
			t.Errorf("%s: Append wrote over what was there", name)
		}
		encoded = encoded[len("before"):]
		if err := again.Decode(encoded); err != nil || !same(&again, &r) {
			t.Errorf("%s: came back as %+v (%v), was %+v", name, again, err, r)
		}
		carried := Record{Queue: r.Queue, Mark: r.Mark, Time: r.Time}
		if err := carried.DecodeEntries(r.AppendEntries(nil)); err != nil || !same(&carried, &r) {
			t.Errorf("%s: its entries came back as %+v (%v), were %+v", name, carried, err, r)
		}
		size := recordHead + recordEntry*len(r.Entries)
		for i := range r.Entries {
			size += r.Entries[i].Frame.Len()
		}
		if len(encoded) != size {
			t.Errorf("%s: takes %d bytes, want %d: only the frames of entries travel", name, len(encoded), size)
		}
	}
}

// TestRecordBytes holds the encoding still: it is stored in queues.
func TestRecordBytes(t *testing.T) {
	r := Record{Queue: 0x0a, Mark: 0x0b, Time: 0x0c, Blob: []byte("-frame-"), Entries: []RecordEntry{{
		Op: OpMessage, Flags: FlagSilent, Conversation: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2},
		User: 3, Device: 4, Seq: 5, N: 6, Own: 7, Frame: Span{1, 6},
	}}}
	u64 := func(n byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, n} }
	want := slices.Concat([]byte{1, 0, 0, 0, 0x0a}, u64(0x0b), u64(0x0c), []byte{0, 0, 0, 1},
		[]byte{1, 1, 1}, u64(1), u64(2), u64(3), u64(4), u64(5), u64(6), u64(7), []byte{0, 0, 0, 5}, []byte("frame"))
	if got := r.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("encoded as\n%x, want\n%x", got, want)
	}
	for name, pair := range map[string][2]uint8{
		"OpMessage": {uint8(OpMessage), 1}, "OpRead": {uint8(OpRead), 2}, "OpAck": {uint8(OpAck), 3}, "OpReceipt": {uint8(OpReceipt), 4}, "OpHole": {uint8(OpHole), 5}, "OpGone": {uint8(OpGone), 6},
		"FlagSilent": {FlagSilent, 1}, "FlagCounted": {FlagCounted, 2},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %d, stored as %d", name, pair[0], pair[1])
		}
	}
}

func TestRecordTruncated(t *testing.T) {
	for name, r := range records() {
		encoded := r.Append(nil)
		for n := range encoded {
			var got Record
			if err := got.Decode(encoded[:n:n]); !errors.Is(err, ErrRecord) {
				t.Errorf("%s: %d of %d bytes give %v, want ErrRecord", name, n, len(encoded), err)
			}
		}
		var got Record
		if err := got.Decode(append(encoded, 0)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: a byte too many gives %v, want ErrRecord", name, err)
		}
	}
}

func TestEntriesTruncated(t *testing.T) {
	for name, r := range records() {
		encoded := r.AppendEntries(nil)
		for n := range encoded {
			var got Record
			if err := got.DecodeEntries(encoded[:n:n]); !errors.Is(err, ErrRecord) {
				t.Errorf("%s: %d of %d bytes of entries give %v, want ErrRecord", name, n, len(encoded), err)
			}
		}
	}
}

// TestRecordHostile: numbers that do not fit are refused, and cost no memory.
func TestRecordHostile(t *testing.T) {
	whole := records()["with frames"]
	encoded := whole.Append(nil)
	const length = recordHead + 3 + 7*8 // where the first entry has the length of its frame
	for name, change := range map[string]func(b []byte){
		"version 0":                    func(b []byte) { b[0] = 0 },
		"a later version":              func(b []byte) { b[0] = 2 },
		"a queue too high":             func(b []byte) { binary.BigEndian.PutUint32(b[1:], protocol.Partitions) },
		"a queue that is no int":       func(b []byte) { binary.BigEndian.PutUint32(b[1:], math.MaxUint32) },
		"one entry too many":           func(b []byte) { binary.BigEndian.PutUint32(b[21:], 4) },
		"one entry too few":            func(b []byte) { binary.BigEndian.PutUint32(b[21:], 2) },
		"as many entries as there are": func(b []byte) { binary.BigEndian.PutUint32(b[21:], math.MaxUint32) },
		"a frame too long":             func(b []byte) { binary.BigEndian.PutUint32(b[length:], 6) },
		"a frame past the end":         func(b []byte) { binary.BigEndian.PutUint32(b[length:], 1000) },
		"a frame that wraps around":    func(b []byte) { binary.BigEndian.PutUint32(b[length:], math.MaxUint32) },
		"a frame too short":            func(b []byte) { binary.BigEndian.PutUint32(b[length:], 4) },
	} {
		b := bytes.Clone(encoded)
		change(b)
		var got Record
		if err := got.Decode(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, err)
		}
		if cap(got.Entries) > 8 {
			t.Errorf("%s: made room for %d entries", name, cap(got.Entries))
		}
	}
}

func TestRecordMemoryIsUsedAgain(t *testing.T) {
	r := records()["with frames"]
	encoded := r.Append(nil)
	var got Record
	if allocs := testing.AllocsPerRun(100, func() {
		if err := got.Decode(encoded); err != nil {
			t.Fatal(err)
		}
	}); allocs > 0 {
		t.Errorf("%v allocations to decode into memory that is there", allocs)
	}
	got.Entries = append(got.Entries, RecordEntry{}) // no part of the next one
	if err := got.Decode(encoded); err != nil || !same(&got, &r) {
		t.Errorf("came back as %+v (%v)", got, err)
	}
}

// FuzzRecord: whatever the bytes are, Decode says that they are no record or gives
// one that is encoded to the same bytes.
func FuzzRecord(f *testing.F) {
	for _, r := range records() {
		f.Add(r.Append(nil))
	}
	f.Add([]byte{recordVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if err := r.Decode(b); err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		for i := range r.Entries {
			if !r.Entries[i].Frame.within(len(r.Blob)) {
				t.Fatalf("entry %d has its frame at %v of %d bytes", i, r.Entries[i].Frame, len(r.Blob))
			}
		}
		if again := r.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is encoded as %x", b, again)
		}
	})
}
