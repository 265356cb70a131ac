package transfer

import (
	"sync"

	"gannet/internal/hop"
)

// parcel is a push on its way to one gateway.
type parcel struct {
	epoch  uint64
	push   hop.Push
	bytes  int     // that it takes while it waits
	ticket *ticket // nil: nobody waits for it

	refusals int // tries that the gateway refused

	// read says that a gateway may still be reading it when it is over: its memory
	// is not used again.
	read bool
	over *parcel // the next one that is over, in the list of a courier
}

// What a parcel takes beside the bytes of its frames.
const (
	bytesPerFrame    = 16
	bytesPerReceiver = 8
)

var parcels = sync.Pool{New: func() any { return new(parcel) }}

func newParcel(epoch uint64) *parcel {
	p := parcels.Get().(*parcel)
	p.epoch = epoch
	return p
}

// add adds a receiver of a frame; those of one frame come one after the other.
func (p *parcel) add(blob []byte, frame hop.Span, conn uint64) {
	x := &p.push
	x.Blob = blob
	at := uint32(len(x.Conns))
	x.Conns = append(x.Conns, conn)
	p.bytes += bytesPerReceiver
	if last := len(x.Frames) - 1; last >= 0 && x.Frames[last] == frame {
		x.Receivers[last].End = at + 1
		return
	}
	x.Frames = append(x.Frames, frame)
	x.Receivers = append(x.Receivers, hop.Span{Start: at, End: at + 1})
	p.bytes += frame.Len() + bytesPerFrame
}

// keep prepares a parcel that has to wait. Its frames are copied out of a blob that
// is mostly for other gateways: what waits is counted by its own bytes, and a
// thousand small frames must not hold on to a thousand large records.
func (p *parcel) keep() {
	x := &p.push
	if len(x.Blob) <= 2*p.bytes {
		return
	}
	blob := make([]byte, 0, p.bytes)
	for i, f := range x.Frames {
		start := uint32(len(blob))
		blob = append(blob, x.Blob[f.Start:f.End]...)
		x.Frames[i] = hop.Span{Start: start, End: uint32(len(blob))}
	}
	x.Blob = blob
}

// deliveries gives how many frames go to how many connections, all in all.
func (p *parcel) deliveries() uint64 { return uint64(len(p.push.Conns)) }

// finish ends a parcel.
func (p *parcel) finish() {
	if p.ticket != nil {
		p.ticket.punch()
		p.ticket = nil
	}
	if p.read {
		return
	}
	x := &p.push
	x.Blob, x.Everything = nil, false
	x.Frames, x.Receivers, x.Conns = x.Frames[:0], x.Receivers[:0], x.Conns[:0]
	p.bytes, p.refusals = 0, 0
	parcels.Put(p)
}
