package ledger_test

import (
	"fmt"
	"slices"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// batch makes the entries of actions as things stand.
func (p *player) batch(actions []action) *logic.Batch {
	b := &logic.Batch{}
	for _, a := range actions {
		k := talks[a.talk]
		devices := devicesOf(k)
		l := lane{k, devices[a.who%len(devices)]}
		p.notef("    %s, n %d, by %d/%d in %v", verbNames[a.verb], a.n, l.by.user, l.by.device, k)
		n := uint64(a.n)
		head := p.talk(k).head()
		switch a.verb {
		case ackHead:
			p.cursor(b, l, hop.OpAck, head)
		case ackPast:
			p.cursor(b, l, hop.OpAck, head+1+n)
		case ackBelow:
			p.cursor(b, l, hop.OpAck, head-min(head, 1+n))
		case readHead:
			p.cursor(b, l, hop.OpRead, head)
		case readPast:
			p.cursor(b, l, hop.OpRead, head+1+n)
		case readBelow:
			p.cursor(b, l, hop.OpRead, head-min(head, 1+n))
		case sendBurst:
			for range n {
				p.send(b, l, p.nextID(l, 0), false)
			}
		case sendJump:
			p.send(b, l, p.nextID(l, 1+n), false)
		default:
			p.send(b, l, p.oldID(l, a.verb, n), a.verb == sendSilent)
		}
	}
	return b
}

func (p *player) cursor(b *logic.Batch, l lane, op hop.Op, seq uint64) {
	b.Entries = append(b.Entries, logic.Entry{Op: op, Conversation: l.key, User: l.by.user, Device: l.by.device, Seq: seq})
}

func (p *player) send(b *logic.Batch, l lane, id uint64, silent bool) {
	addMessage(b, l, id, silent)
	p.tried[l] = append(p.tried[l], id)
}

// nextID takes the device's next client id; ids rise over all its conversations.
func (p *player) nextID(l lane, skip uint64) uint64 {
	p.ids[l.by] += 1 + skip
	return p.ids[l.by]
}

// oldID chooses a client id that is perhaps not new.
func (p *player) oldID(l lane, v verb, n uint64) uint64 {
	tried := p.tried[l]
	if v == sendNext || v == sendSilent || len(tried) == 0 || p.odd > protocol.MaxUnacked/4 {
		return p.nextID(l, 0)
	}
	highest := slices.Max(tried)
	switch v {
	case sendRepeat:
		if n > 6 {
			n *= uint64(len(tried)) / 12
		}
		return tried[uint64(len(tried)-1)-min(n, uint64(len(tried)-1))]
	case sendLeftOut:
		p.odd++
		return max(highest, n+2) - n - 1
	default:
		p.odd++
		return max(highest, protocol.MaxUnacked+200*n+1) - protocol.MaxUnacked - 200*n
	}
}

// addMessage appends a SEND to a batch as logic does.
func addMessage(b *logic.Batch, l lane, id uint64, silent bool) {
	start := len(b.Blob)
	b.Blob = protocol.Message{
		Target: l.key.Target(l.by.user), Sender: l.by.user, Device: l.by.device, ClientID: id,
		Content: protocol.ContentText, Body: fmt.Appendf(nil, "message %d", id),
	}.AppendFrame(b.Blob)
	b.Entries = append(b.Entries, logic.Entry{
		Op: hop.OpMessage, Silent: silent, Conversation: l.key, User: l.by.user, Device: l.by.device, ClientID: id,
		Frame: hop.Span{Start: uint32(start), End: uint32(len(b.Blob))},
	})
}
