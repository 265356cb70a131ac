package protocol

import (
	"bytes"
	"reflect"
	"testing"
)

// stream reads frames as a connection does: bytes arrive in pieces and wait in a
// buffer that holds one frame of the largest length and no more.
type stream struct {
	limit  int
	buffer []byte
	frames [][]byte
	err    error
}

func newStream(limit int) *stream {
	return &stream{limit: limit, buffer: make([]byte, 0, limit+4)}
}

// feed takes a piece. A full buffer without a frame in it would mean that Split
// asks for more than a frame can have.
func (s *stream) feed(t *testing.T, piece []byte) {
	t.Helper()
	for len(piece) > 0 && s.err == nil {
		n := min(len(piece), cap(s.buffer)-len(s.buffer))
		if n == 0 {
			t.Fatalf("Split wants more than %d bytes under a limit of %d: %x", len(s.buffer), s.limit, s.buffer)
		}
		s.buffer = append(s.buffer, piece[:n]...)
		piece = piece[n:]
		if rest := s.split(t, s.buffer); len(rest) < len(s.buffer) {
			s.buffer = append(s.buffer[:0], rest...)
		}
	}
}

// split takes the whole frames off b and gives what is left.
func (s *stream) split(t *testing.T, b []byte) []byte {
	t.Helper()
	for {
		f, n, err := Split(b, s.limit)
		if err != nil {
			if n != 0 {
				t.Fatalf("Split took %d bytes and failed: %v", n, err)
			}
			s.err = err
			return nil
		}
		if n == 0 {
			return b
		}
		if n < HeaderSize || n > len(b) || n > s.limit+4 || len(f.Payload) != n-HeaderSize {
			t.Fatalf("Split took %d of %d bytes for a payload of %d", n, len(b), len(f.Payload))
		}
		if again := f.Append(nil); !bytes.Equal(again, b[:n]) {
			t.Fatalf("the frame\n%x is encoded as\n%x", b[:n], again)
		}
		s.frames = append(s.frames, bytes.Clone(b[:n]))
		b = b[n:]
	}
}

// FuzzSplit feeds a stream whole and in pieces, whose sizes cuts gives: frames,
// error and rest must be the same.
func FuzzSplit(f *testing.F) {
	for _, v := range loadVectors(f) {
		f.Add(v.Bytes, []byte{1}, uint16(0xffff))
		f.Add(bytes.Repeat(v.Bytes[:min(len(v.Bytes), 1000)], 3), []byte{0, 3, 1, 7, 200}, uint16(300))
	}
	f.Fuzz(checkSplit)
}

// checkSplit feeds a stream with data whole and in pieces.
func checkSplit(t *testing.T, data, cuts []byte, limit16 uint16) {
	// Small limits let a short input reach them; the largest stands for the
	// real one.
	limit := int(limit16)
	if limit16 == 0xffff {
		limit = MaxFrame
	}
	whole := newStream(limit)
	rest := whole.split(t, data)

	pieces := newStream(limit)
	left := data
	for i := 0; len(left) > 0; i++ {
		n := len(left)
		if len(cuts) > 0 {
			n = min(n, 1+int(cuts[i%len(cuts)]))
		}
		pieces.feed(t, left[:n])
		left = left[n:]
	}
	if whole.err != pieces.err {
		t.Fatalf("whole: error %v, in pieces: %v", whole.err, pieces.err)
	}
	if len(whole.frames) != len(pieces.frames) {
		t.Fatalf("whole: %d frames, in pieces: %d", len(whole.frames), len(pieces.frames))
	}
	for i := range whole.frames {
		if !bytes.Equal(whole.frames[i], pieces.frames[i]) {
			t.Fatalf("frame %d: whole %x, in pieces %x", i, whole.frames[i], pieces.frames[i])
		}
	}
	if whole.err == nil && !bytes.Equal(rest, pieces.buffer) {
		t.Fatalf("rest: whole %x, in pieces %x", rest, pieces.buffer)
	}
}

// FuzzPayloads gives any bytes to the payload of any type. What can be decoded
// must say the same after it was encoded and decoded again, and must not hold
// more than it was decoded from, unless fields were missing.
func FuzzPayloads(f *testing.F) {
	for _, v := range loadVectors(f) {
		if frame, n, err := Split(v.Bytes, MaxFrame); err == nil && n > 0 {
			f.Add(uint8(frame.Type), frame.Payload)
		}
	}
	f.Fuzz(checkPayload)
}

// checkPayload decodes data as the payload of a type.
func checkPayload(t *testing.T, number uint8, data []byte) {
	kind := Type(number)
	p := newPayload(kind)
	if p == nil {
		return
	}
	before := bytes.Clone(data)
	err := p.Decode(data)
	if !bytes.Equal(data, before) {
		t.Fatalf("decoding changed the payload %x to %x", before, data)
	}
	if err != nil {
		if err != ErrPayload {
			t.Fatal(err)
		}
		return
	}
	fields := fieldsOf(p)
	encoded := encode(nil, kind, 7, fields)
	if n := len(encoded) - HeaderSize; n > len(data) && !grown(kind) {
		t.Fatalf("%d bytes were decoded into fields of %d", len(data), n)
	}
	frame, n, err := Split(encoded, len(encoded))
	if err != nil || n != len(encoded) || frame.Type != kind {
		t.Fatalf("the frame %x: took %d bytes, error is %v", encoded, n, err)
	}
	again := newPayload(kind)
	if err := again.Decode(frame.Payload); err != nil {
		t.Fatalf("what was encoded cannot be decoded: %v: %x", err, encoded)
	}
	if got := fieldsOf(again); !reflect.DeepEqual(got, fields) {
		t.Fatalf("decoded\n%+v, after encoding it\n%+v", fields, got)
	}
	if page, ok := fields.(*syncedFields); ok {
		var last Message
		for _, s := range page.Conversations {
			if len(s.Last) > 0 && last.Decode(s.Last) != nil {
				t.Fatalf("the newest message of a good page is bad: %x", s.Last)
			}
		}
	}
}
