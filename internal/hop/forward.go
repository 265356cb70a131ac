package hop

import (
	"errors"

	"gannet/protocol"
)

// ErrShape says that the lists of a value from another role do not fit together.
var ErrShape = errors.New("hop: lists of different lengths, or bounds outside the bytes")

// Forward is a batch of frames from clients, in order, on the way from a gateway to logic. They
// all concern conversations of one queue.
type Forward struct {
	Gateway uint64 // epoch of the gateway
	Queue   int

	// For each frame: its connection, user and device, and where the frame ends in Frames.
	Conns, Users, Devices []uint64
	Ends                  []uint32

	// Frames has the whole encoded frames, one behind the other.
	Frames []byte
}

// Len gives how many frames the batch has.
func (b *Forward) Len() int { return len(b.Ends) }

// Add appends a whole encoded frame, which is copied.
func (b *Forward) Add(conn, user, device uint64, frame []byte) {
	b.Conns, b.Users, b.Devices = append(b.Conns, conn), append(b.Users, user), append(b.Devices, device)
	b.Frames = append(b.Frames, frame...)
	b.Ends = append(b.Ends, uint32(len(b.Frames)))
}

// Reset empties the batch and keeps its memory.
func (b *Forward) Reset() {
	b.Conns, b.Users, b.Devices = b.Conns[:0], b.Users[:0], b.Devices[:0]
	b.Ends, b.Frames = b.Ends[:0], b.Frames[:0]
}

// Check returns ErrShape if the lists do not fit together. It does not look into the frames.
func (b *Forward) Check() error {
	if len(b.Conns) != len(b.Ends) || len(b.Users) != len(b.Ends) || len(b.Devices) != len(b.Ends) {
		return ErrShape
	}
	return checkEnds(b.Ends, len(b.Frames))
}

// Bytes gives the whole encoded frame i.
func (b *Forward) Bytes(i int) []byte { return cut(b.Frames, b.Ends, i) }

// Frame gives frame i taken apart; ok is false when the bytes are not exactly
// one frame.
func (b *Forward) Frame(i int) (f protocol.Frame, ok bool) {
	raw := b.Bytes(i)
	f, n, err := protocol.Split(raw, protocol.MaxFrame)
	return f, err == nil && n == len(raw) && n > 0
}

// Answers are the replies to a Forward: at most one for each frame, in the order
// of the frames.
type Answers struct {
	// For each reply: the index of the frame that it answers (rising), and where the reply ends
	// in Frames.
	Of   []uint32
	Ends []uint32

	// Frames has the whole encoded replies, one behind the other, immutable from
	// the return of the call on.
	Frames []byte
}

// Len gives how many replies there are.
func (a *Answers) Len() int { return len(a.Ends) }

// Close ends the reply to the frame with index of. Its bytes must be appended to Frames before.
func (a *Answers) Close(of int) {
	a.Of = append(a.Of, uint32(of))
	a.Ends = append(a.Ends, uint32(len(a.Frames)))
}

// Check says whether the answers fit a batch of n frames (ErrShape).
func (a *Answers) Check(n int) error {
	if len(a.Of) != len(a.Ends) {
		return ErrShape
	}
	next := uint32(0)
	for _, of := range a.Of {
		if of < next || int(of) >= n {
			return ErrShape
		}
		next = of + 1
	}
	return checkEnds(a.Ends, len(a.Frames))
}

// Bytes gives the whole encoded reply i.
func (a *Answers) Bytes(i int) []byte { return cut(a.Frames, a.Ends, i) }

func checkEnds(ends []uint32, size int) error {
	last := uint32(0)
	for _, end := range ends {
		if end < last {
			return ErrShape
		}
		last = end
	}
	if uint64(last) != uint64(size) {
		return ErrShape
	}
	return nil
}

func cut(blob []byte, ends []uint32, i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = ends[i-1]
	}
	return blob[start:ends[i]:ends[i]]
}
