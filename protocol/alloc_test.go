package protocol

import "testing"

// TestNothingAllocates decodes every vector, good or bad, walks its items, and
// encodes the good ones into a buffer with room: all without allocating, since
// every message passes here several times.
func TestNothingAllocates(t *testing.T) {
	buffer := make([]byte, 0, MaxFrame+4)
	for _, v := range loadVectors(t) {
		f, n, err := Split(v.Bytes, MaxFrame)
		p := newPayload(f.Type)
		if err != nil || n == 0 || p == nil {
			continue
		}
		var decoded error
		items := 0
		if got := testing.AllocsPerRun(10, func() {
			f, _, _ = Split(v.Bytes, MaxFrame)
			decoded = p.Decode(f.Payload)
			items += walk(p)
		}); got != 0 {
			t.Errorf("%s: decoding allocates %v times", v.Name, got)
		}
		if decoded != nil {
			continue
		}
		fields := fieldsOf(p)
		if got := testing.AllocsPerRun(10, func() {
			buffer = encode(buffer[:0], f.Type, f.Request, fields)
		}); got != 0 {
			t.Errorf("%s: encoding allocates %v times", v.Name, got)
		}
		if got := testing.AllocsPerRun(10, func() {
			buffer = f.Append(buffer[:0])
		}); got != 0 {
			t.Errorf("%s: appending the frame allocates %v times", v.Name, got)
		}
	}
}

func TestConversationsDoNotAllocate(t *testing.T) {
	target := Target{KindDirect, 2}
	partition := 0
	if got := testing.AllocsPerRun(100, func() {
		c := target.Conversation(1)
		partition += c.Partition() + int(c.Target(2).ID)
	}); got != 0 {
		t.Errorf("allocates %v times", got)
	}
}
