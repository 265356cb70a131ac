package logic_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/logic/embedded"
	"gannet/protocol"
)

// rig is a Service over the embedded store in memory, with one lane.
type rig struct {
	*logic.Service
	t         *testing.T
	store     *embedded.Store
	directory *directory
	keys      *logic.Keys
	clock     time.Time

	mu      sync.Mutex
	records [][]byte
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, directory: &directory{devices: make(map[[2]uint64]protocol.Address)}, clock: time.UnixMilli(1_700_000_000_000)}
	now := func() time.Time { return r.clock }
	var err error
	r.store, err = embedded.Open("data", embedded.Options{Lanes: 1, FS: vfs.NewMem(), Now: now, Publish: r.publish})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	if r.keys, err = logic.OpenKeys(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	r.Service = logic.New(logic.Config{
		Log: r.store, History: r.store, Inbox: r.store, Cursors: r.store,
		Directory: r.directory, Gateways: r.directory, Verifier: r.keys, Now: now,
	})
	return r
}

func (r *rig) publish(_ int, record []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, record)
}

// published gives the frames that went to the queue so far.
func (r *rig) published() (all []protocol.Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range r.records {
		all = append(all, split(r.t, record)...)
	}
	return all
}

// directory is the logic.Directory and logic.Gateways of the tests.
type directory struct {
	devices map[[2]uint64]protocol.Address
	kicked  []protocol.Address
	err     error // of Bind
}

func (d *directory) Bind(_ context.Context, user, device uint64, _ protocol.Platform, at protocol.Address) (protocol.Address, bool, error) {
	if d.err != nil {
		return protocol.Address{}, false, d.err
	}
	old, replaced := d.devices[[2]uint64{user, device}]
	d.devices[[2]uint64{user, device}] = at
	return old, replaced, nil
}

func (d *directory) Unbind(_ context.Context, user, device uint64, at protocol.Address) error {
	if d.devices[[2]uint64{user, device}] == at {
		delete(d.devices, [2]uint64{user, device})
	}
	return nil
}

func (d *directory) Kick(_ context.Context, at protocol.Address, code protocol.Code) error {
	if code != protocol.CodeReplaced {
		return errors.New("kicked for another reason")
	}
	d.kicked = append(d.kicked, at)
	return nil
}

func to(user uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: user} }

// split takes a run of frames apart.
func split(t *testing.T, b []byte) (frames []protocol.Frame) {
	t.Helper()
	for len(b) > 0 {
		f, n, err := protocol.Split(b, protocol.MaxFrame)
		if err != nil || n == 0 {
			t.Fatalf("not a run of frames: %x (%v)", b, err)
		}
		frames, b = append(frames, f), b[n:]
	}
	return frames
}

// from makes a request of an encoded frame, on connection 100 times the user
// plus the device.
func from(user, device uint64, frame []byte) protocol.Request {
	f, _, _ := protocol.Split(slices.Clone(frame), 2*protocol.MaxFrame)
	return protocol.Request{Identity: protocol.Identity{Gateway: 1, Conn: 100*user + device, User: user, Device: device}, Frame: f}
}

func send(user, device, peer, id uint64, body string) protocol.Request {
	m := protocol.Send{Target: to(peer), ClientID: id, Content: protocol.ContentText, Body: []byte(body)}
	return from(user, device, m.AppendFrame(nil, uint32(id)))
}

func read(user, device, peer, seq uint64, request uint32) protocol.Request {
	return from(user, device, protocol.Cursor{Target: to(peer), Seq: seq}.AppendRead(nil, request))
}

func pushAck(user, device, peer, seq uint64, request uint32) protocol.Request {
	return from(user, device, protocol.Cursor{Target: to(peer), Seq: seq}.AppendPushAck(nil, request))
}

func (r *rig) forward(batch ...protocol.Request) []protocol.Reply {
	return r.Forward(context.Background(), 0, batch, nil)
}

// only gives the one frame of a reply.
func only(t *testing.T, reply protocol.Reply) protocol.Frame {
	t.Helper()
	frames := split(t, reply.Bytes)
	if len(frames) != 1 {
		t.Fatalf("%d frames in a reply, want 1", len(frames))
	}
	return frames[0]
}

// wantError checks that a frame is an ERROR with the code, for the request.
func wantError(t *testing.T, f protocol.Frame, request uint32, code protocol.Code) {
	t.Helper()
	var failure protocol.Failure
	if f.Type != protocol.TypeError || f.Request != request || failure.Decode(f.Payload) != nil || failure.Code != code {
		t.Fatalf("frame %#x for request %d, code %s; want ERROR for %d, %s", f.Type, f.Request, failure.Code, request, code)
	}
	if retry := code == protocol.CodeUnavailable; retry != (failure.RetryAfter == 200) {
		t.Fatalf("code %s comes with retry_after %d", code, failure.RetryAfter)
	}
}

// wantAck checks that a frame is the SENDACK of a message.
func wantAck(t *testing.T, f protocol.Frame, id, seq, time uint64) {
	t.Helper()
	var ack protocol.SendAck
	if f.Type != protocol.TypeSendAck || f.Request != uint32(id) || ack.Decode(f.Payload) != nil ||
		ack != (protocol.SendAck{ClientID: id, Seq: seq, Time: time}) {
		t.Fatalf("frame %#x for request %d: %+v; want the SENDACK of %d with seq %d, time %d", f.Type, f.Request, ack, id, seq, time)
	}
}
