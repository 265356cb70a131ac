package logic

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// forwarding is the reusable memory of one Forward.
type forwarding struct {
	service *Service
	in      *hop.Forward
	frames  []inbound // one for each frame of the batch
	asks    []Ask
	rights  []Rights
	entries []Entry // those of batch; kept here because the log may change batch
	batch   Batch
	batches [1]*Batch
	cursors map[cursorKey]int // index in entries of each cursor entry of this batch
	receipt hop.Record
}

// inbound is a frame on its way. If code is not 0, the frame is refused; otherwise entry carries it
// out.
type inbound struct {
	frame protocol.Frame
	code  protocol.Code
	retry time.Duration // how long the client is to wait; 0: as the code says
	ask   int           // in asks; -1: none
	entry int           // in entries

	send   protocol.Send   // SEND
	cursor protocol.Cursor // PUSHACK, READ
}

// cursorKey tells which PUSHACKs or READs of a batch share one entry.
type cursorKey struct {
	op           hop.Op
	conversation protocol.Conversation
	user, device uint64
}

var forwardings = sync.Pool{New: func() any {
	f := &forwarding{cursors: make(map[cursorKey]int)}
	f.batches[0] = &f.batch
	return f
}}

// Forward implements gateway.Logic: it carries out one batch of a queue (SEND, PUSHACK, READ) in
// order. Every SEND is answered. A PUSHACK or READ is answered if it failed or its request is not
// 0. The frames are not kept; the answers share one buffer. An error means that nothing was tried.
//
// The caller must not overlap calls for one queue, because their order would be undefined.
func (s *Service) Forward(ctx context.Context, in *hop.Forward) (hop.Answers, error) {
	err := in.Check()
	if err == nil && (in.Queue < 0 || in.Queue >= s.Queues) {
		err = fmt.Errorf("there is no queue %d", in.Queue)
	}
	if err != nil {
		if s.troubles.batch.Note() {
			s.Logger.Error("logic: a batch that no gateway sends", "gateway", in.Gateway, "queue", in.Queue, "error", err)
		}
		return hop.Answers{}, fmt.Errorf("logic: a batch that no gateway sends: %w", err)
	}
	f := forwardings.Get().(*forwarding)
	f.service, f.in = s, in
	f.read()
	f.permit(ctx)
	f.enter()
	if len(f.entries) > 0 {
		f.apply(ctx)
	}
	answers := f.answer()
	f.sendReceipts(ctx)
	f.reset()
	forwardings.Put(f)
	return answers, nil
}

// read decodes the frames and collects the questions for Social.
func (f *forwarding) read() {
	for i := range f.in.Len() {
		x := inbound{ask: -1}
		target, ok := f.readFrame(i, &x)
		if ok && x.code == 0 {
			x.ask = len(f.asks)
			f.asks = append(f.asks, Ask{User: f.in.Users[i], Conversation: target.Conversation(f.in.Users[i])})
		}
		f.frames = append(f.frames, x)
	}
}

// readFrame reads frame i. ok is false if that is not one whole frame of a user and a device.
func (f *forwarding) readFrame(i int, x *inbound) (t protocol.Target, ok bool) {
	var whole bool
	if x.frame, whole = f.in.Frame(i); !whole || f.in.Users[i] == 0 || f.in.Devices[i] == 0 {
		f.badFrame(i)
		x.code = protocol.CodeUnavailable
		return t, false
	}
	switch x.frame.Type {
	case protocol.TypeSend:
		if x.send.Decode(x.frame.Payload) != nil {
			x.code = protocol.CodeBadPayload
		} else {
			t, x.code = x.send.Target, checkSend(&x.send)
		}
	case protocol.TypePushAck, protocol.TypeRead:
		if x.cursor.Decode(x.frame.Payload) != nil {
			x.code = protocol.CodeBadPayload
		} else if t = x.cursor.Target; !addressable(t) {
			x.code = protocol.CodeBadTarget
		}
	default:
		x.code = protocol.CodeUnknownType
	}
	if x.code == 0 && t.Conversation(f.in.Users[i]).Partition()%f.service.Queues != f.in.Queue {
		f.badFrame(i)
		x.code = protocol.CodeUnavailable
	}
	return t, true
}

// badFrame notes a frame that no gateway sends.
func (f *forwarding) badFrame(i int) {
	if s := f.service; s.troubles.frame.Note() {
		s.Logger.Error("logic: a frame that no gateway sends", "gateway", f.in.Gateway, "queue", f.in.Queue,
			"conn", f.in.Conns[i], "user", f.in.Users[i], "device", f.in.Devices[i])
	}
}

func checkSend(m *protocol.Send) protocol.Code {
	switch {
	case !addressable(m.Target):
		return protocol.CodeBadTarget
	case m.ClientID == 0:
		return protocol.CodeBadClientID
	case m.Content < protocol.ContentText || m.Content > protocol.ContentCustom:
		return protocol.CodeBadContent
	case len(m.Body) > protocol.MaxBody:
		return protocol.CodeBodyTooLarge
	}
	return 0
}

// permit refuses frames whose users may not do what they ask for.
func (f *forwarding) permit(ctx context.Context) {
	if len(f.asks) == 0 {
		return
	}
	var err error
	f.rights, err = f.service.access(ctx, f.asks, f.rights[:0])
	for i := range f.frames {
		x := &f.frames[i]
		if x.ask < 0 {
			continue
		}
		need := MaySee
		if x.frame.Type == protocol.TypeSend {
			need = MayWrite
		}
		if err != nil {
			x.code = protocol.CodeUnavailable
		} else if f.rights[x.ask]&need == 0 {
			x.code = protocol.CodeBadTarget
		}
	}
}

// PushOverhead is how many bytes a PUSH frame has more than the frame of its SEND.
var PushOverhead = len(protocol.Message{}.AppendFrame(nil)) - len(protocol.Send{}.AppendFrame(nil, 0))

// enter makes the entries and encodes their pushes. All pushes go into one buffer, which is
// allocated once with the right size.
func (f *forwarding) enter() {
	size := 0
	for i := range f.frames {
		if x := &f.frames[i]; x.code == 0 && x.frame.Type == protocol.TypeSend {
			size += len(f.in.Bytes(i)) + PushOverhead
		}
	}
	f.batch.Queue = f.in.Queue
	f.batch.Blob = make([]byte, 0, size)
	for i := range f.frames {
		x := &f.frames[i]
		if x.code != 0 {
			continue
		}
		user, device := f.in.Users[i], f.in.Devices[i]
		if x.frame.Type == protocol.TypeSend {
			f.enterMessage(x, user, device)
		} else {
			f.enterCursor(x, user, device)
		}
	}
}

func (f *forwarding) enterMessage(x *inbound, user, device uint64) {
	start := len(f.batch.Blob)
	f.batch.Blob = protocol.Message{
		Target:   x.send.Target,
		Sender:   user,
		Device:   device,
		ClientID: x.send.ClientID,
		Content:  x.send.Content,
		Body:     x.send.Body,
	}.AppendFrame(f.batch.Blob)
	x.entry = f.add(Entry{
		Op:           hop.OpMessage,
		Conversation: f.asks[x.ask].Conversation,
		User:         user,
		Device:       device,
		ClientID:     x.send.ClientID,
		Frame:        hop.Span{Start: uint32(start), End: uint32(len(f.batch.Blob))},
	})
}

// enterCursor makes one entry of all PUSHACKs, or of all READs, that a device sent for a
// conversation in this batch. The entry has the highest seq and the place of the first frame. The
// earlier place is harmless: a client can only know seqs up to the head that the batch finds, and
// cursors rise to the highest seq in any case. There is one difference: a message that the device
// sends in the batch may find its ack raised by PUSHACKs that come later in the batch.
func (f *forwarding) enterCursor(x *inbound, user, device uint64) {
	key := cursorKey{op: hop.OpAck, conversation: f.asks[x.ask].Conversation, user: user, device: device}
	if x.frame.Type == protocol.TypeRead {
		key.op = hop.OpRead
	}
	if i, ok := f.cursors[key]; ok {
		e := &f.entries[i]
		e.Seq = max(e.Seq, x.cursor.Seq)
		x.entry = i
		return
	}
	x.entry = f.add(Entry{Op: key.op, Conversation: key.conversation, User: user, Device: device, Seq: x.cursor.Seq})
	f.cursors[key] = x.entry
}

func (f *forwarding) add(e Entry) int {
	f.entries = append(f.entries, e)
	return len(f.entries) - 1
}

// apply hands the batch to the log and checks the results of the entries.
func (f *forwarding) apply(ctx context.Context) {
	s := f.service
	f.batch.Entries = f.entries
	if err := s.Log.Apply(ctx, f.batches[:]); err != nil {
		f.batch.Err = err
	}
	if f.batch.Err != nil {
		if s.troubles.log.Note() {
			s.Logger.Warn("logic: a batch was not carried out", "queue", f.in.Queue, "entries", len(f.entries), "error", f.batch.Err)
		}
		return
	}
	for i := range f.entries {
		switch e := &f.entries[i]; {
		case e.Outcome == Unknown:
			if s.troubles.entry.Note() {
				s.Logger.Warn("logic: the log does not know what became of an entry", "queue", f.in.Queue, "op", e.Op, "conversation", e.Conversation)
			}
		case !e.makesSense():
			if s.troubles.outcome.Note() {
				s.Logger.Error("logic: the log says something impossible of an entry", "queue", f.in.Queue, "op", e.Op,
					"outcome", e.Outcome, "seq", e.Seq, "code", e.Code)
			}
			e.Outcome = Unknown
		case e.Outcome == Refused:
			s.refusals.note(e.Code)
		}
	}
}

// makesSense says whether the results of an entry are possible, so that its sender can be told.
func (e *Entry) makesSense() bool {
	switch e.Outcome {
	case Applied, Repeated:
		return e.Op != hop.OpMessage || e.Seq != 0
	case Refused:
		return e.Code.Meaning() != ""
	}
	return false
}

func (f *forwarding) reset() {
	clear(f.frames)
	clear(f.cursors)
	f.service, f.in = nil, nil
	f.batch = Batch{} // the blob is the log's
	f.frames, f.asks, f.rights, f.entries = f.frames[:0], f.asks[:0], f.rights[:0], f.entries[:0]
}
