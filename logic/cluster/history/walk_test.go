//go:build cluster

package history

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// readBack is the memory of an owner that took a queue over: messages of user 1's device 1 to
// user 2, from first on, that it read back from the queue, so that it does not know what came
// before the first of them.
type readBack struct{ first, last uint64 }

func (m readBack) Recent(_ context.Context, _ protocol.Conversation, from, to uint64) (r Recent, err error) {
	r = Recent{Head: m.last, First: m.first, Before: m.first - 1}
	for seq := max(from, m.first); seq <= min(to, m.last); seq++ {
		k := Kept{Seq: seq, N: seq, Own: seq}
		if seq > m.first {
			k.Previous, k.Linked = seq-1, true
		}
		k.Payload = protocol.Message{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: seq, Sender: 1, Device: 1, ClientID: seq}.AppendPayload(nil)
		r.Messages = append(r.Messages, k)
	}
	return r, nil
}

// A walk does not end at a message of which memory does not know what came before it: a retry of
// an older one would be taken for new.
func TestWalkGoesOnBehindWhatWasReadBack(t *testing.T) {
	var list []written
	for seq := uint64(1); seq <= 6; seq++ {
		list = append(list, written{seq: seq, before: seq - 1, sender: 1, device: 1, previous: seq - 1, n: seq, own: seq})
	}
	for name, c := range map[string]struct {
		in      []written // ClickHouse
		memory  readBack
		visits  []uint64
		unknown bool
	}{
		"ClickHouse has it":           {in: list, memory: readBack{5, 8}, visits: []uint64{8, 7, 6, 5, 4, 3, 2, 1}},
		"ClickHouse is behind":        {in: list[:4], memory: readBack{5, 8}, visits: []uint64{8, 7, 6}, unknown: true},
		"all of it is in memory":      {in: list[:1], memory: readBack{1, 3}, visits: []uint64{3, 2, 1}},
		"it is the only one so far":   {in: list[:1], memory: readBack{1, 1}, visits: []uint64{1}},
		"the newest is the first one": {in: list, memory: readBack{6, 6}, visits: []uint64{6, 5, 4, 3, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			store := ownClickHouse(t)
			talk(t, store, c.in...)
			var got []uint64
			w := &ledger.Walk{Key: direct(1, 2), User: 1, Device: 1, From: c.memory.last, Visit: func(_, seq, _, _ uint64) bool { got = append(got, seq); return true }}
			err := NewReader(store, c.memory).Walk(t.Context(), []*ledger.Walk{w})
			if err != nil || c.unknown != errors.Is(w.Err, logic.ErrUnavailable) || !slices.Equal(got, c.visits) {
				t.Errorf("the walk visits %v, %v, %v; want %v", got, err, w.Err, c.visits)
			}
		})
	}
}
