package chain

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"slices"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

var chat7 = Queue{Class: Chat, Number: 7}

// entries is the body of a record with one entry.
func entries(blob string) []byte {
	r := hop.Record{Blob: []byte(blob), Entries: []hop.RecordEntry{{Op: hop.OpMessage, Conversation: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}, Frame: hop.Span{Start: 0, End: uint32(len(blob))}}}}
	return r.AppendEntries(nil)
}

// seal gives a record a checksum that fits, whatever it holds.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], table))
	return b
}

// vector is a line of testdata/records.json.
type vector struct {
	Meaning string `json:"meaning"`
	Hex     string `json:"hex"`
	Verdict string `json:"verdict"` // record, broken or later
	Head    *Head  `json:"head,omitempty"`
	Body    string `json:"body,omitempty"`
}

// TestVectors holds the encoding still: it is stored in queues.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/records.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, v := range vectors {
		seen[v.Verdict]++
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatalf("%s: %v", v.Meaning, err)
		}
		var h Head
		body, err := h.Decode(b)
		switch {
		case v.Verdict == "broken" && !errors.Is(err, ErrBroken), v.Verdict == "later" && !errors.Is(err, ErrLater):
			t.Errorf("%s: Decode gives %v, want %s", v.Meaning, err, v.Verdict)
		case v.Verdict == "record":
			if err != nil || h != *v.Head || hex.EncodeToString(body) != v.Body {
				t.Errorf("%s: Decode gives %+v, body %x, %v; want %+v, %s", v.Meaning, h, body, err, v.Head, v.Body)
			}
			if again := v.Head.Append(nil, body); !bytes.Equal(again, b) {
				t.Errorf("%s: encoded as\n%x, want\n%x", v.Meaning, again, b)
			}
		}
	}
	if seen["record"] < 3 || seen["broken"] < 8 || seen["later"] < 3 {
		t.Errorf("too few vectors: %v", seen)
	}
}

func TestEveryBitIsChecked(t *testing.T) {
	h := Head{Kind: Entries, Queue: chat7, Prev: Mark{3, 4, 5}, Writer: 6, Number: 7, Registry: 8, Time: 9}
	b := h.Append([]byte("before"), []byte("body"))
	if !bytes.HasPrefix(b, []byte("before")) {
		t.Fatal("Append wrote over what was there")
	}
	b = b[len("before"):]
	if len(b) != HeadSize+4 {
		t.Fatalf("takes %d bytes, want %d", len(b), HeadSize+4)
	}
	for i := range len(b) * 8 {
		c := slices.Clone(b)
		c[i/8] ^= 1 << (i % 8)
		var got Head
		if _, err := got.Decode(c); !errors.Is(err, ErrBroken) {
			t.Fatalf("with bit %d flipped: %v, want ErrBroken", i, err)
		}
	}
	for n := range b {
		var got Head
		if _, err := got.Decode(b[:n:n]); !errors.Is(err, ErrBroken) {
			t.Fatalf("%d of %d bytes: %v, want ErrBroken", n, len(b), err)
		}
	}
}

func TestHopRecord(t *testing.T) {
	h := Head{Kind: Entries, Queue: chat7, Prev: Beginning, Writer: 6, Number: 1, Time: 9}
	r := Record{Head: h, Mark: Mark{Offset: 0, Writer: 6, Number: 1}, Body: entries("frame")}
	var got hop.Record
	if err := r.Hop(&got); err != nil || got.Queue != 7 || got.Mark != 1 || got.Time != 9 || len(got.Entries) != 1 || string(got.Bytes(0)) != "frame" {
		t.Errorf("comes out as %+v (%v)", got, err)
	}
	r.Body = []byte("no entries")
	if err := r.Hop(&got); !errors.Is(err, hop.ErrRecord) || len(got.Entries) != 0 || string(got.Blob) != "no entries" {
		t.Errorf("a body that holds no entries comes out as %+v (%v)", got, err)
	}
	r.Kind, r.Body = Empty, nil
	if err := r.Hop(&got); err != nil || len(got.Entries) != 0 || len(got.Blob) != 0 {
		t.Errorf("an empty record comes out as %+v (%v)", got, err)
	}
}

// FuzzHead: whatever the bytes are, Decode refuses them or gives what is encoded to the
// same bytes.
func FuzzHead(f *testing.F) {
	h := Head{Kind: Entries, Queue: chat7, Prev: Beginning, Writer: 6, Number: 1}
	f.Add(h.Append(nil, entries("x")), false)
	f.Add(h.Append(nil, nil)[:40], true)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed && len(b) > 8 {
			b = bytes.Clone(b)
			binary.BigEndian.PutUint32(b, magic)
			seal(b)
		}
		var h Head
		body, err := h.Decode(b)
		if err != nil {
			if !errors.Is(err, ErrBroken) && !errors.Is(err, ErrLater) {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		if again := h.Append(nil, body); !bytes.Equal(again, b) {
			t.Fatalf("%x is encoded as %x", b, again)
		}
	})
}
