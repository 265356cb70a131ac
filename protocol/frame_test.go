package protocol

import (
	"bytes"
	"math"
	"testing"
)

func TestAppendAndSplitAreInverse(t *testing.T) {
	want := Frame{Type: TypeSend, Flags: 3, Request: math.MaxUint32, Payload: []byte("payload")}
	b := want.Append([]byte("before"))
	got, n, err := Split(b[len("before"):], MaxFrame)
	if err != nil || n != HeaderSize+len(want.Payload) {
		t.Fatalf("took %d bytes, error is %v", n, err)
	}
	if got.Type != want.Type || got.Flags != want.Flags || got.Request != want.Request || !bytes.Equal(got.Payload, want.Payload) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSplitLimit has the limits at which arithmetic goes wrong, on machines of 32
// bits above all.
func TestSplitLimit(t *testing.T) {
	length := func(n uint32) []byte {
		return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	}
	for _, c := range []struct {
		name   string
		length uint32
		limit  int
		want   error
	}{
		{"at the limit", 100, 100, nil},
		{"over the limit", 101, 100, ErrFrameTooLarge},
		{"a limit below the header", frameFixed, 5, ErrFrameTooLarge},
		{"a limit of 0", frameFixed, 0, ErrFrameTooLarge},
		{"a negative limit", frameFixed, -1, ErrFrameTooLarge},
		{"the most negative limit", math.MaxUint32, math.MinInt, ErrFrameTooLarge},
		{"a length that plus 4 overflows", math.MaxInt32, math.MaxInt32, nil},
		{"too short under any limit", frameFixed - 1, 0, ErrFrameTooShort},
	} {
		_, n, err := Split(append(length(c.length), "more"...), c.limit)
		if err != c.want || n != 0 {
			t.Errorf("%s: took %d, error is %v, want %v", c.name, n, err, c.want)
		}
	}
}

// TestDecodedSlicesStayInTheirPlace appends to what was decoded: what stands
// behind it in the same buffer must not change.
func TestDecodedSlicesStayInTheirPlace(t *testing.T) {
	stream := Send{Target: Target{KindDirect, 2}, ClientID: 1, Content: ContentText, Body: []byte("one")}.AppendFrame(nil, 1)
	first := len(stream)
	stream = AppendEmpty(stream, TypePing, 2)
	behind := bytes.Clone(stream[first:])
	f, _, err := Split(stream, MaxFrame)
	if err != nil {
		t.Fatal(err)
	}
	var m Send
	if err := m.Decode(f.Payload); err != nil {
		t.Fatal(err)
	}
	_ = append(f.Payload, "overwritten"...)
	_ = append(m.Body, "overwritten"...)
	if !bytes.Equal(stream[first:], behind) {
		t.Errorf("the next frame became %x", stream[first:])
	}

	// The same within a payload: the token stands in its middle.
	stream = Hello{Token: []byte("token"), Device: 1, Name: []byte("name")}.AppendFrame(nil, 1)
	whole := bytes.Clone(stream)
	var hello Hello
	if err := hello.Decode(stream[HeaderSize:]); err != nil {
		t.Fatal(err)
	}
	_ = append(hello.Token, "overwritten"...)
	if !bytes.Equal(stream, whole) {
		t.Errorf("the payload became %x", stream)
	}
}

// TestPatchesAfterEncoding does what logic does: it encodes first and learns seq
// and time later.
func TestPatchesAfterEncoding(t *testing.T) {
	push := Message{Target: Target{KindDirect, 1}, Sender: 2, Device: 3, ClientID: 4, Content: ContentText, Body: []byte("hi")}
	frame := push.AppendFrame([]byte("before"))[len("before"):]
	SetSeq(frame[HeaderSize:], 5, 6)
	push.Seq, push.Time = 5, 6
	if want := push.AppendFrame(nil); !bytes.Equal(frame, want) {
		t.Errorf("the message is %x, want %x", frame, want)
	}
}

// TestPeekTarget reads the target of every frame that concerns one conversation
// without knowing its type.
func TestPeekTarget(t *testing.T) {
	target := Target{KindGroup, 77}
	for _, frame := range [][]byte{
		Send{Target: target}.AppendFrame(nil, 1),
		Cursor{Target: target}.AppendPushAck(nil, 1),
		Cursor{Target: target}.AppendRead(nil, 1),
		History{Target: target}.AppendFrame(nil, 1),
		Message{Target: target}.AppendFrame(nil),
		Receipt{Target: target}.AppendFrame(nil),
		Range{Target: target}.AppendHole(nil),
		Cursor{Target: target}.AppendHint(nil),
	} {
		f, _, err := Split(frame, MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := PeekTarget(f.Payload); !ok || got != target {
			t.Errorf("%s: target %v, %v", f.Type, got, ok)
		}
		if _, ok := PeekTarget(f.Payload[:8]); ok {
			t.Errorf("%s: a target was found in 8 bytes", f.Type)
		}
	}
}

// TestLanes says of every number which way a frame with it takes behind the
// gateway.
func TestLanes(t *testing.T) {
	want := map[Type]LaneClass{
		TypeSend: LaneWrite, TypePushAck: LaneWrite, TypeRead: LaneWrite,
		TypeSync: LaneRead, TypeHistory: LaneRead,
	}
	for number, class := range want {
		if got := number.Lane(); got != class {
			t.Errorf("%s: lane %d, want %d", number, got, class)
		}
	}
	for _, d := range described {
		if got := d.kind.Lane(); got != d.lane {
			t.Errorf("%s: lane %d, want %d", d.name, got, d.lane)
		}
		want[d.kind] = d.lane
	}
	for n := range 256 {
		if class, ok := want[Type(n)]; !ok && Type(n).Lane() != LaneNone {
			t.Errorf("%s travels: lane %d", Type(n), class)
		}
	}
}

// TestTypesHaveNames holds the names in logs to those of the specification.
func TestTypesHaveNames(t *testing.T) {
	for kind, want := range map[Type]string{
		TypeSend: "SEND", TypePushAck: "PUSHACK", TypeClose: "CLOSE",
		0x00: "0x00", 0x7F: "0x7F", 0xCA: "0xCA",
	} {
		if got := kind.String(); got != want {
			t.Errorf("%#x is called %s, want %s", uint8(kind), got, want)
		}
	}
	for _, d := range described {
		if got := d.kind.String(); got != d.name {
			t.Errorf("%#x is called %s, want %s", uint8(d.kind), got, d.name)
		}
	}
}

// TestLargestFramesFit keeps the limits consistent: whatever has the largest body
// goes into the largest frame, with room for fields still to come.
func TestLargestFramesFit(t *testing.T) {
	const room = 2 << 10
	body := make([]byte, MaxBody)
	message := Message{Body: body}.AppendPayload(nil)
	synced := State{Last: message}.Append(Synced{Count: 1}.AppendFrame(nil, 1))
	for name, frame := range map[string][]byte{
		"SEND":     Send{Body: body}.AppendFrame(nil, 1),
		"PUSH":     Message{Body: body}.AppendFrame(nil),
		"SYNCED":   Synced{Count: 1}.Finish(synced, 0),
		"MESSAGES": Messages{Count: 1}.Finish(AppendMessage(Messages{}.AppendFrame(nil, 1), message), 0),
	} {
		if n := len(frame) - 4; n+room > MaxFrame {
			t.Errorf("%s with the largest body has length %d, over %d", name, n, MaxFrame-room)
		}
	}
	hello := Hello{Token: make([]byte, MaxToken), Name: make([]byte, MaxText)}.AppendFrame(nil, 1)
	if n := len(hello) - 4; n+room > MaxHello {
		t.Errorf("the largest HELLO has length %d, over %d", n, MaxHello-room)
	}
}
