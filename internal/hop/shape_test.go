package hop

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"gannet/protocol"
)

func TestForward(t *testing.T) {
	send := protocol.Send{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, ClientID: 7, Content: protocol.ContentText, Body: []byte("hello")}.AppendFrame(nil, 5)
	ack := protocol.Cursor{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: 9}.AppendPushAck(nil, 0)
	var b Forward
	for range 2 {
		b.Add(1, 2, 3, send)
		b.Add(4, 5, 6, ack)
		b.Add(7, 8, 9, nil)
		b.Add(10, 11, 12, append(bytes.Clone(ack), 0))
		if err := b.Check(); err != nil || b.Len() != 4 {
			t.Fatalf("%d frames, %v", b.Len(), err)
		}
		if !bytes.Equal(b.Bytes(0), send) || !bytes.Equal(b.Bytes(1), ack) || len(b.Bytes(2)) != 0 || b.Conns[1] != 4 || b.Users[1] != 5 || b.Devices[1] != 6 {
			t.Fatalf("the batch is %+v", b)
		}
		if f, ok := b.Frame(0); !ok || f.Type != protocol.TypeSend || f.Request != 5 {
			t.Errorf("frame 0 is %+v, %v", f, ok)
		}
		if f, ok := b.Frame(1); !ok || f.Type != protocol.TypePushAck {
			t.Errorf("frame 1 is %+v, %v", f, ok)
		}
		for _, i := range []int{2, 3} {
			if f, ok := b.Frame(i); ok {
				t.Errorf("frame %d, which is not exactly one, is %+v", i, f)
			}
		}
		if frame := b.Bytes(0); cap(frame) != len(frame) {
			t.Error("appending to a frame would write over the next one")
		}
		if b.Reset(); b.Len() != 0 || b.Check() != nil || len(b.Frames) != 0 {
			t.Fatalf("after Reset the batch is %+v", b)
		}
	}
}

func TestForwardHostile(t *testing.T) {
	whole := func() Forward {
		var b Forward
		b.Add(1, 2, 3, []byte("first"))
		b.Add(4, 5, 6, []byte("second"))
		return b
	}
	for name, change := range map[string]func(b *Forward){
		"a connection too few":      func(b *Forward) { b.Conns = b.Conns[:1] },
		"a user too many":           func(b *Forward) { b.Users = append(b.Users, 1) },
		"no devices":                func(b *Forward) { b.Devices = nil },
		"no ends":                   func(b *Forward) { b.Ends = nil },
		"an end past the bytes":     func(b *Forward) { b.Ends[1] = 12 },
		"an end far past the bytes": func(b *Forward) { b.Ends[0], b.Ends[1] = math.MaxUint32, math.MaxUint32 },
		"ends that fall":            func(b *Forward) { b.Ends[0], b.Ends[1] = 11, 5 },
		"an end before the end":     func(b *Forward) { b.Ends[0] = 12 },
		"bytes that are no frame's": func(b *Forward) { b.Frames = append(b.Frames, 0) },
		"bytes without frames":      func(b *Forward) { *b = Forward{Frames: []byte("x")} },
		"no bytes":                  func(b *Forward) { b.Frames = nil },
	} {
		b := whole()
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		change(&b)
		if err := b.Check(); !errors.Is(err, ErrShape) {
			t.Errorf("%s: %v, want ErrShape", name, err)
		}
	}
	if err := (&Forward{}).Check(); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}

func TestAnswers(t *testing.T) {
	var a Answers
	for i, reply := range []string{"one", "", "three"} {
		a.Frames = append(a.Frames, reply...)
		a.Close(2 * i)
	}
	if err := a.Check(5); err != nil || a.Len() != 3 {
		t.Fatalf("%d answers, %v", a.Len(), err)
	}
	if string(a.Bytes(0)) != "one" || len(a.Bytes(1)) != 0 || string(a.Bytes(2)) != "three" || !slices.Equal(a.Of, []uint32{0, 2, 4}) {
		t.Fatalf("the answers are %+v", a)
	}
	for n := range 5 {
		if err := a.Check(n); !errors.Is(err, ErrShape) {
			t.Errorf("for a batch of %d frames: %v, want ErrShape", n, err)
		}
	}
	if err := (&Answers{}).Check(0); err != nil {
		t.Errorf("no answers to nothing: %v", err)
	}
}

func TestAnswersHostile(t *testing.T) {
	for name, change := range map[string]func(a *Answers){
		"two to one frame":          func(a *Answers) { a.Of[1] = a.Of[0] },
		"out of order":              func(a *Answers) { a.Of[0], a.Of[1] = 2, 1 },
		"to a frame past the last":  func(a *Answers) { a.Of[2] = 4 },
		"to the highest number":     func(a *Answers) { a.Of[2] = math.MaxUint32 },
		"one too many":              func(a *Answers) { a.Of = append(a.Of, 3) },
		"an end too many":           func(a *Answers) { a.Ends = append(a.Ends, a.Ends[2]) },
		"none, but bytes":           func(a *Answers) { a.Of, a.Ends = nil, nil },
		"an end past the bytes":     func(a *Answers) { a.Ends[2]++ },
		"ends that fall":            func(a *Answers) { a.Ends[0], a.Ends[1] = a.Ends[1], a.Ends[0] },
		"bytes that are no reply's": func(a *Answers) { a.Frames = append(a.Frames, 0) },
	} {
		var a Answers
		for i, reply := range []string{"one", "two", "three"} {
			a.Frames = append(a.Frames, reply...)
			a.Close(i)
		}
		if err := a.Check(4); err != nil {
			t.Fatal(err)
		}
		change(&a)
		if err := a.Check(4); !errors.Is(err, ErrShape) {
			t.Errorf("%s: %v, want ErrShape", name, err)
		}
	}
}

func wholePush() Push {
	return Push{
		Blob:      []byte("..first--second"),
		Frames:    []Span{{2, 7}, {9, 15}, {2, 7}},
		Receivers: []Span{{0, 2}, {0, 2}, {2, 2}},
		Conns:     []uint64{5, 6},
	}
}

func TestPush(t *testing.T) {
	p := wholePush()
	if err := p.Check(); err != nil || p.Len() != 3 {
		t.Fatalf("%d frames, %v", p.Len(), err)
	}
	if string(p.Bytes(0)) != "first" || string(p.Bytes(1)) != "second" || !slices.Equal(p.To(1), []uint64{5, 6}) || len(p.To(2)) != 0 {
		t.Fatalf("the push is %+v", p)
	}
	if frame := p.Bytes(0); cap(frame) != len(frame) {
		t.Error("appending to a frame would write into the blob")
	}
	if err := (&Push{Everything: true}).Check(); err != nil {
		t.Errorf("a push of no frames: %v", err)
	}
}

func TestPushHostile(t *testing.T) {
	for name, change := range map[string]func(p *Push){
		"a frame past the blob":          func(p *Push) { p.Frames[1].End = 16 },
		"a frame far past the blob":      func(p *Push) { p.Frames[1] = Span{math.MaxUint32, math.MaxUint32} },
		"a frame that ends before it":    func(p *Push) { p.Frames[0] = Span{7, 2} },
		"no receivers":                   func(p *Push) { p.Receivers = nil },
		"receivers of no frame":          func(p *Push) { p.Receivers = append(p.Receivers, Span{}) },
		"a receiver past the last":       func(p *Push) { p.Receivers[0].End = 3 },
		"receivers that end before them": func(p *Push) { p.Receivers[0] = Span{2, 1} },
		"no connections":                 func(p *Push) { p.Conns = nil },
		"no blob":                        func(p *Push) { p.Blob = nil },
	} {
		p := wholePush()
		change(&p)
		if err := p.Check(); !errors.Is(err, ErrShape) {
			t.Errorf("%s: %v, want ErrShape", name, err)
		}
	}
}

// FuzzShapes: lists that pass their Check can be gone through without a panic.
func FuzzShapes(f *testing.F) {
	f.Add([]byte("frames"), uint32(2), uint32(6), uint32(0), uint32(1), 2)
	f.Add([]byte{}, uint32(0), uint32(0), uint32(math.MaxUint32), uint32(0), 1)
	f.Fuzz(func(t *testing.T, blob []byte, x, y, z, w uint32, n int) {
		b := Forward{Conns: []uint64{1, 2}, Users: []uint64{1, 2}, Devices: []uint64{1, 2}, Ends: []uint32{x, y}, Frames: blob}
		if b.Check() == nil {
			if total := len(b.Bytes(0)) + len(b.Bytes(1)); total != len(blob) {
				t.Errorf("frames of %d bytes in all, of %d", total, len(blob))
			}
			b.Frame(0)
			b.Frame(1)
		}
		a := Answers{Of: []uint32{z, w}, Ends: []uint32{x, y}, Frames: blob}
		if a.Check(n) == nil && (len(a.Bytes(0))+len(a.Bytes(1)) != len(blob) || int(a.Of[1]) >= n || a.Of[0] >= a.Of[1]) {
			t.Errorf("answers to %d frames: %+v", n, a)
		}
		p := Push{Blob: blob, Frames: []Span{{x, y}}, Receivers: []Span{{z, w}}, Conns: []uint64{1, 2, 3}}
		if p.Check() == nil && (len(p.Bytes(0)) != int(y-x) || len(p.To(0)) != int(w-z)) {
			t.Errorf("a push of %+v", p)
		}
	})
}

func TestIdentityAddress(t *testing.T) {
	id := Identity{Gateway: 1, Conn: 2, User: 3, Device: 4}
	if got := id.Address(); got != (Address{Gateway: 1, Conn: 2}) {
		t.Errorf("the address is %+v", got)
	}
}
