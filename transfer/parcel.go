package transfer

import (
	"sync"

	"gannet/internal/hop"
)

// parcel is a push on its way to one gateway.
type parcel struct {
	epoch  uint64
	push   hop.Push
	bytes  int     // of its frames
	ticket *ticket // nil: nobody waits for it
}

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
	if last := len(x.Frames) - 1; last >= 0 && x.Frames[last] == frame {
		x.Receivers[last].End = at + 1
		return
	}
	x.Frames = append(x.Frames, frame)
	x.Receivers = append(x.Receivers, hop.Span{Start: at, End: at + 1})
	p.bytes += frame.Len()
}

// finish ends a parcel that nobody reads any more; its memory is used again.
func (p *parcel) finish() {
	p.abandon()
	x := &p.push
	x.Blob, x.Everything = nil, false
	x.Frames, x.Receivers, x.Conns = x.Frames[:0], x.Receivers[:0], x.Conns[:0]
	p.bytes = 0
	parcels.Put(p)
}

// abandon ends a parcel that a gateway may still be reading.
func (p *parcel) abandon() {
	if p.ticket != nil {
		p.ticket.punch()
		p.ticket = nil
	}
}
