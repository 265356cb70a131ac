package vectors

import (
	"encoding/binary"
	"math/rand/v2"
)

const (
	longest   = 4 << 10 // of what Mutations gives; a vector with a large body tests nothing that a short one does not
	maxPieces = 4       // vectors in a row
	maxTwists = 6       // changes to them
)

// Mutations gives bytes that a careless or hostile peer may send, without end: vectors
// in a row with a few changes. It is for runs of very many inputs, which a fuzzer that
// measures coverage is too slow for.
type Mutations struct {
	rng   *rand.Rand
	seeds [][]byte
	data  []byte
	cuts  []byte
}

// NewMutations gives the mutations of a seed: the same seed gives the same bytes.
func NewMutations(seed uint64) (*Mutations, error) {
	all, err := Load()
	if err != nil {
		return nil, err
	}
	m := &Mutations{rng: rand.New(rand.NewPCG(seed, 0))}
	for _, v := range all {
		if len(v.Bytes) <= longest/maxPieces {
			m.seeds = append(m.seeds, v.Bytes)
		}
	}
	return m, nil
}

// Next gives the next bytes, and sizes less one of the pieces in which they might
// arrive; none: in one piece. Both are valid until the next call.
func (m *Mutations) Next() (data, cuts []byte) {
	m.data = m.data[:0]
	for range 1 + m.rng.IntN(maxPieces) {
		m.data = append(m.data, m.seeds[m.rng.IntN(len(m.seeds))]...)
	}
	for range m.rng.IntN(maxTwists + 1) {
		m.twist()
	}
	m.cuts = m.cuts[:0]
	for range m.rng.IntN(4) {
		m.cuts = append(m.cuts, byte(m.rng.Uint32()>>m.rng.IntN(8)))
	}
	return m.data, m.cuts
}

// Bool is true every second time.
func (m *Mutations) Bool() bool { return m.rng.Uint32()&1 == 0 }

// IntN gives a number below n.
func (m *Mutations) IntN(n int) int { return m.rng.IntN(n) }

// edges are numbers at which something may be off by one, or wrap.
var edges = [...]uint32{0, 1, 5, 6, 7, 8, 0x7f, 0x80, 0xff, 0x100, 8192, 8193, 65535, 65536, 69632, 69633, 1 << 31, 1<<31 - 1, 1<<32 - 1, 1<<32 - 7}

func (m *Mutations) twist() {
	n := len(m.data)
	if n == 0 {
		return
	}
	at := m.rng.IntN(n)
	end := min(n, at+1+m.rng.IntN(16))
	switch m.rng.IntN(7) {
	case 0:
		m.data[at] ^= 1 << m.rng.IntN(8)
	case 1:
		m.data[at] = byte(m.rng.Uint32())
	case 2:
		m.data = append(m.data[:at], m.data[end:]...)
	case 3: // something once more
		if n+end-at <= longest {
			m.data = append(m.data, m.data[n-(end-at):]...)
			copy(m.data[end:], m.data[at:n])
		}
	case 4:
		m.data = m.data[:at]
	case 5:
		if at+4 <= n {
			binary.BigEndian.PutUint32(m.data[at:], edges[m.rng.IntN(len(edges))])
		}
	case 6: // the length of the first frame, more or less
		if n >= 4 {
			length := binary.BigEndian.Uint32(m.data)
			binary.BigEndian.PutUint32(m.data, length+uint32(m.rng.IntN(17))-8)
		}
	}
}
