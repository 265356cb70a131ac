package hop

// Push is encoded pushes on their way from transfer to one gateway.
type Push struct {
	// Blob holds the whole encoded frames. It may also hold other bytes: within one process it is
	// simply the Blob of a Record. Immutable.
	Blob []byte

	// For each frame: where it lies in Blob, and where its receivers lie in Conns. Frames with
	// the same receivers may share a Span of Conns.
	Frames    []Span
	Receivers []Span
	Conns     []uint64

	// Everything says that pushes were lost on the way and nobody knows of which conversations.
	// So every connection of the gateway gets a HINT of kind 0. Like every hint, it is sent when
	// nothing else waits for the connection. A client that notices the gap earlier asks for the
	// missing messages anyway.
	Everything bool
}

// Span is a range of a list: from Start up to, but not including, End.
type Span struct{ Start, End uint32 }

// Len gives the length of the span.
func (s Span) Len() int { return int(s.End - s.Start) }

func (s Span) within(size int) bool { return s.Start <= s.End && uint64(s.End) <= uint64(size) }

// Len gives how many frames the push has.
func (p *Push) Len() int { return len(p.Frames) }

// Check returns ErrShape if the lists do not fit together. It does not look into the frames.
func (p *Push) Check() error {
	if len(p.Receivers) != len(p.Frames) {
		return ErrShape
	}
	for i := range p.Frames {
		if !p.Frames[i].within(len(p.Blob)) || !p.Receivers[i].within(len(p.Conns)) {
			return ErrShape
		}
	}
	return nil
}

// Bytes gives the whole encoded frame i.
func (p *Push) Bytes(i int) []byte { return p.Frames[i].of(p.Blob) }

// To gives the connections that frame i goes to.
func (p *Push) To(i int) []uint64 { return p.Conns[p.Receivers[i].Start:p.Receivers[i].End] }

func (s Span) of(blob []byte) []byte { return blob[s.Start:s.End:s.End] }
