package hop

// Push is encoded pushes on their way from transfer to one gateway.
type Push struct {
	// Blob holds the whole encoded frames, and may hold bytes that are none of
	// them: within a process it is the blob of a Record as it is. Immutable.
	Blob []byte

	// For each frame: its bounds in Blob, and where its receivers lie in Conns.
	// Frames to the same connections may share a run.
	Frames    []Span
	Receivers []Span
	Conns     []uint64

	// Everything says that pushes were lost on the way, and nobody knows of which
	// conversations: every connection of the gateway gets a HINT of kind 0. It goes
	// out, like every hint, once nothing else waits for the connection; a client that
	// meets the gap before it asks for what is missing all the same.
	Everything bool
}

// Span is a run in a list: from Start to before End.
type Span struct{ Start, End uint32 }

// Len gives how long the run is.
func (s Span) Len() int { return int(s.End - s.Start) }

func (s Span) within(size int) bool { return s.Start <= s.End && uint64(s.End) <= uint64(size) }

// Len gives how many frames the push has.
func (p *Push) Len() int { return len(p.Frames) }

// Check says whether the lists fit together (ErrShape); the frames themselves
// are not looked at.
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
