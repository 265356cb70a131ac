package transfer

import (
	"sync"

	"gannet/internal/hop"
)

// parcel is a push on its way to one gateway.
type parcel struct {
	epoch  uint64
	push   hop.Push
	bytes  int     // memory that it takes while it waits
	ticket *ticket // nil: nobody waits for it

	refusals int // tries that the gateway refused

	// read says that a gateway may still read the parcel after its end. So its memory is not
	// reused.
	read bool
	over *parcel // the next one that is over, in the list of a courier
}

// The memory that a parcel takes, in addition to the bytes of its frames.
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

// add adds a receiver of a frame. Add all receivers of one frame in a row.
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

// keep prepares a parcel that has to wait. If most of the blob is not for this gateway, it copies
// the parcel's frames out of it. Waiting parcels are counted by their own bytes, and a thousand
// small frames must not keep a thousand large records in memory.
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

// deliveries gives how many deliveries the parcel has: a frame to a connection is one.
func (p *parcel) deliveries() uint64 { return uint64(len(p.push.Conns)) }

// finish ends a parcel and tells its ticket.
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
