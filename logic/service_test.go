package logic_test

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/token"
	"gannet/logic"
	"gannet/logic/embedded"
	"gannet/protocol"
)

// server is the identity that the rig's store gives out.
var server = []byte("sixteen bytes id")

// rig is a Service over the embedded store in memory, with one queue.
type rig struct {
	*logic.Service
	t         *testing.T
	store     *embedded.Store
	directory *directory.Memory
	keys      *token.Keys

	mu       sync.Mutex
	clock    time.Time
	records  []hop.Record // that the log handed onward
	receipts []hop.Record
	kicked   []kick
}

type kick struct {
	at   hop.Address
	code protocol.Code
}

// later moves the clock on.
func (r *rig) later(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = r.clock.Add(d)
}

// newRig makes a rig; change may exchange ports.
func newRig(t *testing.T, change func(*logic.Config)) *rig {
	t.Helper()
	r := &rig{t: t, directory: directory.NewMemory(), clock: time.UnixMilli(1_700_000_000_000)}
	now := func() time.Time { // the store asks by itself too
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.clock
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	r.store, err = embedded.Open("data", embedded.Options{Queues: 1, FS: vfs.NewMem(), Now: now, Publish: r.publish, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	if r.keys, err = token.OpenKeys(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	c := logic.Config{
		Log: r.store, History: r.store, Inbox: r.store, Social: logic.Direct{},
		Receipts: r, Directory: r.directory, Gateways: r, Tokens: r.keys,
		Queues: 1, Server: server, Now: now, Logger: log,
	}
	if change != nil {
		change(&c)
	}
	r.Service = logic.New(c)
	return r
}

func kept(record *hop.Record) hop.Record {
	own := *record
	own.Entries = slices.Clone(record.Entries)
	return own
}

func (r *rig) publish(_ context.Context, record *hop.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, kept(record))
}

// Receipts is logic.Receipts'.
func (r *rig) Receipts(_ context.Context, record *hop.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.receipts = append(r.receipts, kept(record))
	return nil
}

// Kick is logic.Gateways'.
func (r *rig) Kick(_ context.Context, at hop.Address, code protocol.Code) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kicked = append(r.kicked, kick{at, code})
	return nil
}

// pushed gives the messages that went to the queue so far.
func (r *rig) pushed() (all []protocol.Message) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.records {
		for j := range r.records[i].Entries {
			e := &r.records[i].Entries[j]
			if e.Op != hop.OpMessage {
				continue
			}
			f := one(r.t, r.records[i].Bytes(j))
			var m protocol.Message
			if f.Type != protocol.TypePush || f.Request != 0 || m.Decode(f.Payload) != nil || m.Conversation() != e.Conversation || m.Seq != e.Seq {
				r.t.Fatalf("an entry %+v has frame %#x, %+v", e, f.Type, m)
			}
			all = append(all, m)
		}
	}
	return all
}

func to(user uint64) protocol.Target { return protocol.Target{Kind: protocol.KindDirect, ID: user} }

// one takes exactly one frame.
func one(t *testing.T, b []byte) protocol.Frame {
	t.Helper()
	f, n, err := protocol.Split(b, protocol.MaxFrame)
	if err != nil || n == 0 || n != len(b) {
		t.Fatalf("not one frame: %x (%v)", b, err)
	}
	return f
}

// asked is a frame of a client and its identity. Its connection is 100 times the
// user plus the device.
type asked struct {
	user, device uint64
	frame        []byte
}

func send(user, device, peer, id uint64, body string) asked {
	m := protocol.Send{Target: to(peer), ClientID: id, Content: protocol.ContentText, Body: []byte(body)}
	return asked{user, device, m.AppendFrame(nil, uint32(id))}
}

func read(user, device, peer, seq uint64, request uint32) asked {
	return asked{user, device, protocol.Cursor{Target: to(peer), Seq: seq}.AppendRead(nil, request)}
}

func pushAck(user, device, peer, seq uint64, request uint32) asked {
	return asked{user, device, protocol.Cursor{Target: to(peer), Seq: seq}.AppendPushAck(nil, request)}
}

// batch makes what a gateway sends.
func batch(frames ...asked) *hop.Forward {
	b := &hop.Forward{Gateway: 9}
	for _, f := range frames {
		b.Add(100*f.user+f.device, f.user, f.device, f.frame)
	}
	return b
}

// answer is a reply and the index of the frame that it answers.
type answer struct {
	of    int
	frame protocol.Frame
}

// forward has a batch carried out; what the gateway does with its memory afterwards
// does no harm.
func (r *rig) forward(frames ...asked) []answer {
	r.t.Helper()
	return forward(r.t, r.Service, batch(frames...))
}

func forward(t *testing.T, s *logic.Service, b *hop.Forward) (list []answer) {
	t.Helper()
	n := b.Len()
	answers, err := s.Forward(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b.Frames)
	clear(b.Users)
	clear(b.Devices)
	if err := answers.Check(n); err != nil {
		t.Fatalf("the answers to %d frames do not fit: %+v", n, answers)
	}
	for i := range answers.Len() {
		list = append(list, answer{int(answers.Of[i]), one(t, answers.Bytes(i))})
	}
	return list
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

// wantStat checks a counter.
func wantStat(t *testing.T, s *logic.Service, name string, want uint64) {
	t.Helper()
	if got, ok := s.Stats()[name]; !ok || got != want {
		t.Errorf("%s is %d (there: %v), want %d; all: %v", name, got, ok, want, s.Stats())
	}
}

// wantNoTrouble checks that every counter is 0.
func wantNoTrouble(t *testing.T, s *logic.Service) {
	t.Helper()
	for name, n := range s.Stats() {
		if n != 0 && !strings.HasPrefix(name, "refused.") {
			t.Errorf("%s is %d", name, n)
		}
	}
}
