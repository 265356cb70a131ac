package logic

import (
	"context"
	"sync"

	"gannet/protocol"
)

// Sizes of frames, taken from the codec, so that each buffer of a batch is
// allocated once and in the right size.
var (
	// pushOverhead is what a PUSH frame is longer than the payload of its SEND.
	pushOverhead = len(protocol.Message{}.AppendFrame(nil)) - len(protocol.Send{}.AppendFrame(nil, 0)) + protocol.HeaderSize

	receiptSize = len(protocol.Receipt{}.AppendFrame(nil))
	sendAckSize = len(protocol.SendAck{}.AppendFrame(nil, 0))
	errorSize   = len(failure(nil, 0, protocol.CodeInternal))
)

// forwarding is the scratch of one Forward.
type forwarding struct {
	batch   Batch
	verdict []verdict         // of each request
	cursors map[cursorKey]int // the cursor entry of this batch
}

// verdict says what becomes of a request: refused with a code, or, with code 0,
// the entry that carries it out.
type verdict struct {
	code  protocol.Code
	entry int
}

// cursorKey names what several PUSHACKs and READs of a batch are one entry for.
// The device is part of it because a RECEIPT is not sent to the device that it
// names.
type cursorKey struct {
	conversation protocol.Conversation
	user, device uint64
}

var forwardings = sync.Pool{New: func() any { return &forwarding{cursors: make(map[cursorKey]int)} }}

// Forward carries out one batch of a write lane (SEND, PUSHACK, READ) in order
// and appends the replies: each SEND has one, PUSHACK and READ have one when
// they failed or their request is not 0. The conversations of the batch must
// belong to the lane. The payloads are not kept; the bytes of all replies share
// one buffer.
//
// Calls for one lane must follow one another, else their order is open.
func (s *Service) Forward(ctx context.Context, lane int, batch []protocol.Request, replies []protocol.Reply) []protocol.Reply {
	f := forwardings.Get().(*forwarding)
	f.encode(batch)
	var err error
	if len(f.batch.Entries) > 0 {
		err = s.Log.Append(ctx, lane, &f.batch)
	}
	replies = f.reply(batch, replies, err)
	f.reset()
	forwardings.Put(f)
	return replies
}

// encode makes the entries of a batch and their frames.
func (f *forwarding) encode(batch []protocol.Request) {
	size := 0
	for i := range batch {
		switch frame := &batch[i].Frame; frame.Type {
		case protocol.TypeSend:
			size += len(frame.Payload) + pushOverhead
		case protocol.TypePushAck, protocol.TypeRead:
			size += receiptSize
		}
	}
	f.batch.Record = make([]byte, 0, size)
	for i := range batch {
		r := &batch[i]
		var v verdict
		switch r.Frame.Type {
		case protocol.TypeSend:
			v = f.send(r)
		case protocol.TypePushAck, protocol.TypeRead:
			v = f.cursor(r)
		default:
			v.code = protocol.CodeUnknownType
		}
		f.verdict = append(f.verdict, v)
	}
}

func (f *forwarding) send(r *protocol.Request) verdict {
	var m protocol.Send
	if m.Decode(r.Frame.Payload) != nil {
		return verdict{code: protocol.CodeBadPayload}
	}
	if code := checkSend(&m); code != 0 {
		return verdict{code: code}
	}
	start := len(f.batch.Record)
	f.batch.Record = protocol.Message{
		Target:   m.Target,
		Sender:   r.User,
		Device:   r.Device,
		ClientID: m.ClientID,
		Content:  m.Content,
		Body:     m.Body,
	}.AppendFrame(f.batch.Record)
	return f.add(Entry{
		Op:           OpMessage,
		Conversation: m.Target.Conversation(r.User),
		User:         r.User,
		Device:       r.Device,
		ClientID:     m.ClientID,
		Start:        start,
	})
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

func (f *forwarding) cursor(r *protocol.Request) verdict {
	var m protocol.Cursor
	if m.Decode(r.Frame.Payload) != nil {
		return verdict{code: protocol.CodeBadPayload}
	}
	if !addressable(m.Target) {
		return verdict{code: protocol.CodeBadTarget}
	}
	read := uint64(0)
	if r.Frame.Type == protocol.TypeRead {
		read = m.Seq
	}
	key := cursorKey{conversation: m.Target.Conversation(r.User), user: r.User, device: r.Device}
	if i, ok := f.cursors[key]; ok {
		e := &f.batch.Entries[i]
		e.Delivered, e.Read = max(e.Delivered, m.Seq), max(e.Read, read)
		return verdict{entry: i}
	}
	f.cursors[key] = len(f.batch.Entries)
	start := len(f.batch.Record)
	f.batch.Record = protocol.Receipt{Target: m.Target, User: r.User, Device: r.Device}.AppendFrame(f.batch.Record)
	return f.add(Entry{
		Op:           OpCursor,
		Conversation: key.conversation,
		User:         r.User,
		Device:       r.Device,
		Delivered:    m.Seq,
		Read:         read,
		Start:        start,
	})
}

// add appends the entry whose frame was encoded last.
func (f *forwarding) add(e Entry) verdict {
	e.End = len(f.batch.Record)
	f.batch.Entries = append(f.batch.Entries, e)
	return verdict{entry: len(f.batch.Entries) - 1}
}

// reply encodes the answers to a batch; err is that of Append.
func (f *forwarding) reply(batch []protocol.Request, replies []protocol.Reply, err error) []protocol.Reply {
	size := 0
	for i := range batch {
		if batch[i].Frame.Type == protocol.TypeSend {
			size += max(sendAckSize, errorSize)
		} else if f.verdict[i].code != 0 || err != nil || batch[i].Frame.Request != 0 {
			size += errorSize // DONE is shorter
		}
	}
	buf := make([]byte, 0, size)
	for i := range batch {
		r, v, start := &batch[i], f.verdict[i], len(buf)
		if v.code == 0 {
			v.code = f.outcome(v.entry, err)
		}
		switch {
		case v.code != 0:
			buf = failure(buf, r.Frame.Request, v.code)
		case r.Frame.Type == protocol.TypeSend:
			e := &f.batch.Entries[v.entry]
			buf = protocol.SendAck{ClientID: e.ClientID, Seq: e.Seq, Time: e.Time}.AppendFrame(buf, r.Frame.Request)
		case r.Frame.Request != 0:
			buf = protocol.AppendEmpty(buf, protocol.TypeDone, r.Frame.Request)
		default:
			continue
		}
		replies = append(replies, protocol.Reply{Conn: r.Conn, Bytes: buf[start:len(buf):len(buf)]})
	}
	return replies
}

// outcome gives the code with which an entry failed, or 0.
func (f *forwarding) outcome(entry int, err error) protocol.Code {
	switch {
	case err != nil:
		return protocol.CodeUnavailable
	case f.batch.Entries[entry].Outcome == Stale:
		return protocol.CodeStaleClientID
	}
	return 0
}

func (f *forwarding) reset() {
	f.batch.Record = nil // is the log's
	f.batch.Entries = f.batch.Entries[:0]
	f.verdict = f.verdict[:0]
	clear(f.cursors)
}
