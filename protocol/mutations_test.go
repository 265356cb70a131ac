package protocol

import (
	flags "flag"
	"testing"

	"gannet/protocol/vectors"
)

var (
	mutations     = flags.Int("mutations", 200_000, "how many inputs TestMutations tries")
	mutationsSeed = flags.Uint64("mutations.seed", 1, "seed of TestMutations")
)

// TestMutations holds the codec to what FuzzSplit and FuzzPayloads say, with very many
// inputs made from the vectors.
func TestMutations(t *testing.T) {
	m, err := vectors.NewMutations(*mutationsSeed)
	if err != nil {
		t.Fatal(err)
	}
	frames, payloads := 0, 0
	for range *mutations {
		data, cuts := m.Next()
		limit := uint16(0xffff)
		if m.Bool() {
			limit = uint16(m.IntN(600))
		}
		checkSplit(t, data, cuts, limit)
		for len(data) > 0 {
			f, n, err := Split(data, MaxFrame)
			if err != nil || n == 0 {
				break
			}
			frames++
			if p := newPayload(f.Type); p != nil && p.Decode(f.Payload) == nil {
				payloads++
			}
			checkPayload(t, uint8(f.Type), f.Payload)
			data = data[n:]
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d executions: %d inputs, and their %d frames, of which %d are whole", *mutations+frames, *mutations, frames, payloads)
	if frames < *mutations/4 || payloads < frames/4 || payloads == frames {
		t.Errorf("%d inputs had %d frames, of which %d are whole: they try too little", *mutations, frames, payloads)
	}
}
