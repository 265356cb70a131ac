package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// Site is gateways as an adapter of transfer.Gateways reaches them.
type Site struct {
	Gateways transfer.Gateways
	Epoch    uint64 // of a gateway that is there

	// Connect logs a device of the user in at that gateway.
	Connect func(user uint64) Device

	// End ends the registration of the epoch.
	End func()

	// Close ends the adapter and the gateway as their processes do when they stop.
	Close func()
}

// Device is a device that is connected to a gateway.
type Device interface {
	Conn() uint64         // at the gateway
	Next() protocol.Frame // waits for one; its payload stays
	Leave()               // hangs up
}

// Gateways holds an adapter of transfer.Gateways to its guarantees.
func Gateways(t *testing.T, open func(t *testing.T) Site) {
	for _, c := range []struct {
		name string
		test func(w *pushing)
	}{
		{"each frame gets to its receivers, in order", framesToReceivers},
		{"one push after the other arrives in order", pushesInOrder},
		{"connections that are not there are absent, once for each frame", absentConnections},
		{"the same push again is safe", pushAgain},
		{"everything is a hint of kind 0 to every connection", everythingIsHinted},
		{"a hint stands for what does not fit", hintStands},
		{"an epoch that has ended", epochEnded},
		{"lists that do not fit together are refused", misshapenIsRefused},
		{"closing under pushes", closedUnderPushes},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &pushing{t: t, Site: open(t)}
			c.test(w)
			w.wantOnce()
		})
	}
}

// pushing is a test that pushes.
type pushing struct {
	t *testing.T
	Site

	mu    sync.Mutex
	calls []*atomic.Int32 // of done, for each push
}

// outcome is what done was called with.
type outcome struct {
	absent []uint64
	err    error
	within bool // before Push returned
}

// begin begins to send pushes; their outcome comes.
func (w *pushing) begin(epoch uint64, pushes ...*hop.Push) <-chan outcome {
	calls, came := new(atomic.Int32), make(chan outcome, 1)
	w.mu.Lock()
	w.calls = append(w.calls, calls)
	w.mu.Unlock()
	var returned atomic.Bool
	w.Gateways.Push(w.t.Context(), epoch, pushes, func(absent []uint64, err error) {
		if calls.Add(1) == 1 {
			came <- outcome{slices.Clone(absent), err, !returned.Load()}
		}
	})
	returned.Store(true)
	return came
}

// ended waits for an outcome.
func (w *pushing) ended(came <-chan outcome) outcome {
	w.t.Helper()
	select {
	case o := <-came:
		return o
	case <-time.After(patience):
		w.t.Fatal("done is not called")
		return outcome{}
	}
}

// push pushes to the gateway that is there, which has to take it.
func (w *pushing) push(pushes ...*hop.Push) (absent []uint64) {
	w.t.Helper()
	o := w.ended(w.begin(w.Epoch, pushes...))
	if o.err != nil {
		w.t.Fatalf("push: %v", o.err)
	}
	slices.Sort(o.absent)
	return o.absent
}

// wantOnce checks that done was called once for each push.
func (w *pushing) wantOnce() {
	w.t.Helper()
	for i, calls := range w.calls {
		if n := calls.Load(); n != 1 {
			w.t.Errorf("done was called %d times for push %d", n, i)
		}
	}
}

// pushed is number seq of the messages that user 1 sends to another.
func pushed(to, seq uint64, size int) []byte {
	body := make([]byte, size)
	copy(body, fmt.Sprintf("message %d", seq))
	return protocol.Message{
		Target: protocol.Target{Kind: protocol.KindDirect, ID: to}, Seq: seq, Sender: 1, Device: 1, ClientID: seq, Content: protocol.ContentText, Body: body,
	}.AppendFrame(nil)
}

// add adds a frame for some connections, behind a byte that belongs to no frame.
func add(p *hop.Push, frame []byte, conns ...uint64) {
	p.Blob = append(p.Blob, 0xee)
	start, first := uint32(len(p.Blob)), uint32(len(p.Conns))
	p.Blob, p.Conns = append(p.Blob, frame...), append(p.Conns, conns...)
	p.Frames = append(p.Frames, hop.Span{Start: start, End: uint32(len(p.Blob))})
	p.Receivers = append(p.Receivers, hop.Span{Start: first, End: uint32(len(p.Conns))})
}

// to makes a push of one frame.
func to(frame []byte, conns ...uint64) *hop.Push {
	p := new(hop.Push)
	add(p, frame, conns...)
	return p
}

// wantNext checks which message comes next to a device.
func (w *pushing) wantNext(d Device, frame []byte) {
	w.t.Helper()
	want, _, _ := protocol.Split(frame, protocol.MaxFrame)
	if f := d.Next(); f.Type != want.Type || string(f.Payload) != string(want.Payload) {
		w.t.Fatalf("frame %#x of %d bytes came, want %#x of %d", f.Type, len(f.Payload), want.Type, len(want.Payload))
	}
}

func framesToReceivers(w *pushing) {
	a, b, c := w.Connect(2), w.Connect(2), w.Connect(3)
	push := new(hop.Push)
	add(push, pushed(2, 1, 100), a.Conn(), b.Conn())
	add(push, pushed(2, 2, 3000), b.Conn())
	add(push, pushed(3, 1, 10), c.Conn())
	add(push, pushed(2, 3, 0), a.Conn(), b.Conn())
	push.Frames, push.Receivers = append(push.Frames, push.Frames[3]), append(push.Receivers, hop.Span{}) // to nobody
	if absent := w.push(push); len(absent) != 0 {
		w.t.Fatalf("%v are absent", absent)
	}
	for d, frames := range map[Device][]int{a: {0, 3}, b: {0, 1, 3}, c: {2}} {
		for _, i := range frames {
			w.wantNext(d, push.Bytes(i))
		}
	}
}

func pushesInOrder(w *pushing) {
	d := w.Connect(2)
	const n = 300
	var together []*hop.Push
	for seq := uint64(1); seq <= n; seq++ {
		together = append(together, to(pushed(2, seq, 20), d.Conn()))
		if len(together) > int(seq%7) || seq == n {
			w.push(together...)
			together = nil
		}
	}
	for seq := uint64(1); seq <= n; seq++ {
		w.wantNext(d, pushed(2, seq, 20))
	}
}

const nobody = 1<<63 | 4711 // a connection that there never was

func absentConnections(w *pushing) {
	stays, leaves := w.Connect(2), w.Connect(2)
	push := new(hop.Push)
	add(push, pushed(2, 1, 20), nobody, stays.Conn())
	add(push, pushed(2, 2, 20), stays.Conn(), nobody)
	if absent := w.push(push); !slices.Equal(absent, []uint64{nobody, nobody}) {
		w.t.Fatalf("%v are absent, want %d twice", absent, uint64(nobody))
	}
	w.wantNext(stays, push.Bytes(0))
	w.wantNext(stays, push.Bytes(1))
	if absent := w.push(to(pushed(2, 3, 20), nobody), to(pushed(2, 4, 20), stays.Conn()), to(pushed(2, 5, 20), nobody+1)); !slices.Equal(absent, []uint64{nobody, nobody + 1}) {
		w.t.Fatalf("of several pushes %v are absent", absent)
	}
	w.wantNext(stays, pushed(2, 4, 20))
	leaves.Leave()
	for deadline := time.Now().Add(patience); ; {
		if absent := w.push(to(pushed(2, 3, 20), leaves.Conn())); len(absent) == 1 && absent[0] == leaves.Conn() {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatal("a connection that hung up is never absent")
		}
	}
}

func pushAgain(w *pushing) {
	d := w.Connect(2)
	push := to(pushed(2, 1, 20), d.Conn())
	for range 3 {
		if absent := w.push(push); len(absent) != 0 {
			w.t.Fatalf("%v are absent", absent)
		}
	}
	w.push(to(pushed(2, 2, 20), d.Conn()))
	w.wantNext(d, push.Bytes(0))
	for f := d.Next(); string(f.Payload) != string(pushed(2, 2, 20)[10:]); f = d.Next() {
		if string(f.Payload) != string(push.Bytes(0)[10:]) {
			w.t.Fatalf("frame %#x came between the same push and the next", f.Type)
		}
	}
}

// hinted decodes a HINT; ok is false for another frame.
func hinted(f protocol.Frame) (h protocol.Cursor, ok bool) {
	return h, f.Type == protocol.TypeHint && h.Decode(f.Payload) == nil
}

func everythingIsHinted(w *pushing) {
	devices := []Device{w.Connect(2), w.Connect(2), w.Connect(3)}
	push := to(pushed(2, 1, 20), devices[0].Conn())
	push.Everything = true
	w.push(push)
	w.push(&hop.Push{Everything: true}) // no frame at all
	for i, d := range devices {
		f := d.Next()
		if h, ok := hinted(f); i == 0 && !ok { // the frame, before the hint
			if string(f.Payload) != string(push.Bytes(0)[10:]) {
				w.t.Fatalf("frame %#x came", f.Type)
			}
			if h, ok = hinted(d.Next()); !ok || h.Target != (protocol.Target{}) {
				w.t.Fatalf("the hint is %+v, %v", h, ok)
			}
		} else if !ok || h.Target != (protocol.Target{}) {
			w.t.Fatalf("device %d got %#x, %+v", i, f.Type, h)
		}
	}
}

// hintStands pushes more to a device that does not read than any outbox holds. When it reads
// again, a hint stands for each run of messages that it does not get.
func hintStands(w *pushing) {
	slow, other := w.Connect(2), w.Connect(3)
	const n, size = 400, 60_000
	for seq := uint64(1); seq <= n; seq++ {
		w.push(to(pushed(2, seq, size), slow.Conn()))
	}
	w.push(to(pushed(3, 1, 20), other.Conn()))
	w.wantNext(other, pushed(3, 1, 20))
	hints := 0
	for known := uint64(0); known < n; {
		f := slow.Next()
		if h, ok := hinted(f); ok {
			if h.Target != (protocol.Target{Kind: protocol.KindDirect, ID: 1}) || h.Seq <= known {
				w.t.Fatalf("behind %d messages of %d the hint is %+v", known, n, h)
			}
			known = h.Seq
			hints++
			continue
		}
		var m protocol.Message
		if f.Type != protocol.TypePush || m.Decode(f.Payload) != nil || m.Seq != known+1 {
			w.t.Fatalf("behind message %d came %#x, %d", known, f.Type, m.Seq)
		}
		known = m.Seq
	}
	if hints == 0 {
		w.t.Error("all of it fitted")
	}
}

func epochEnded(w *pushing) {
	d := w.Connect(2)
	w.push(to(pushed(2, 1, 20), d.Conn()))
	w.End()
	for _, push := range []*hop.Push{to(pushed(2, 2, 20), d.Conn()), {Everything: true}} {
		if o := w.ended(w.begin(w.Epoch, push)); !errors.Is(o.err, transfer.ErrEnded) || len(o.absent) != 0 {
			w.t.Fatalf("%v are absent, %v", o.absent, o.err)
		}
	}
	w.wantNext(d, pushed(2, 1, 20))
}

func misshapenIsRefused(w *pushing) {
	d := w.Connect(2)
	for name, change := range map[string]func(*hop.Push){
		"no receivers":            func(p *hop.Push) { p.Receivers = nil },
		"a frame behind the blob": func(p *hop.Push) { p.Frames[0].End++ },
		"receivers behind them":   func(p *hop.Push) { p.Receivers[0].End++ },
		"a frame backwards":       func(p *hop.Push) { p.Frames[0].Start, p.Frames[0].End = p.Frames[0].End, p.Frames[0].Start },
	} {
		push := to(pushed(2, 1, 20), d.Conn())
		change(push)
		if o := w.ended(w.begin(w.Epoch, push)); !errors.Is(o.err, transfer.ErrRefused) {
			w.t.Errorf("%s: %v", name, o.err)
		}
		if o := w.ended(w.begin(w.Epoch, to(pushed(2, 1, 20), d.Conn()), push)); !errors.Is(o.err, transfer.ErrRefused) {
			w.t.Errorf("%s, in company: %v", name, o.err)
		}
	}
	w.push(to(pushed(2, 2, 20), d.Conn()))
	w.wantNext(d, pushed(2, 2, 20))
}

func closedUnderPushes(w *pushing) {
	d := w.Connect(2)
	seq, stop := uint64(0), make(chan struct{})
	begun, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			seq++
			came := w.begin(w.Epoch, to(pushed(2, seq, 20), d.Conn()))
			select {
			case <-came:
			case <-time.After(patience):
				return // wantOnce tells of it
			}
			if seq == 100 {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	<-begun
	w.Close()
	close(stop)
	<-over
	if o := w.ended(w.begin(w.Epoch, to(pushed(2, seq+1, 20), d.Conn()))); o.err == nil && !slices.Equal(o.absent, []uint64{d.Conn()}) {
		w.t.Error("a gateway that has stopped took a push")
	}
}
