package load

import "math/bits"

// sequence is a set of numbers that are to come from 1, rising by one.
type sequence struct {
	words   []uint64 // bit n-1 is set when n has come
	count   uint64
	highest uint64
}

// maxJump bounds how far ahead of its neighbours a number may come and still be
// believed; it keeps one wrong number from taking all memory.
const maxJump = 1 << 20

// arrival says how a number came to a sequence.
type arrival uint8

const (
	ahead      arrival = iota // the highest so far
	late                      // a higher one was there
	repeated                  // it was there itself
	impossible                // 0, or further ahead than anything on its way
)

func (s *sequence) add(n uint64) arrival {
	if n == 0 || n > s.highest+maxJump {
		return impossible
	}
	word, bit := (n-1)/64, uint64(1)<<((n-1)%64)
	for uint64(len(s.words)) <= word {
		s.words = append(s.words, 0)
	}
	if s.words[word]&bit != 0 {
		return repeated
	}
	s.words[word] |= bit
	s.count++
	if n < s.highest {
		return late
	}
	s.highest = n
	return ahead
}

// gaps gives how many numbers from 1 to last have not come.
func (s *sequence) gaps(last uint64) uint64 {
	if s.count >= last && s.highest == s.count {
		return 0
	}
	var came uint64
	for i, w := range s.words {
		if end := uint64(i+1) * 64; end > last {
			if uint64(i)*64 < last {
				came += uint64(bits.OnesCount64(w & (1<<(last%64) - 1)))
			}
			break
		}
		came += uint64(bits.OnesCount64(w))
	}
	return last - came
}

// missing gives the lowest number that has not come.
func (s *sequence) missing() uint64 {
	for i, w := range s.words {
		if w != ^uint64(0) {
			return uint64(i)*64 + uint64(bits.TrailingZeros64(^w)) + 1
		}
	}
	return uint64(len(s.words))*64 + 1
}
