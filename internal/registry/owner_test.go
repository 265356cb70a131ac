package registry_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"gannet/internal/registry"
)

func hex(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func viewOf(ids ...uint64) *registry.View {
	var nodes []registry.Node
	for _, id := range ids {
		nodes = append(nodes, registry.Node{ID: id, Role: registry.Logic, Epoch: id, State: registry.Serving})
	}
	return registry.NewView(1, false, nodes)
}

func owner(t *testing.T, queue registry.Queue, view *registry.View) uint64 {
	t.Helper()
	n, ok := registry.Owner(registry.Logic, queue, view)
	if !ok {
		t.Fatalf("nobody owns %+v", queue)
	}
	return n.ID
}

func TestOwnerVectors(t *testing.T) {
	var vectors struct {
		Weights []struct {
			ID     string
			Class  uint8
			Number uint32
			Weight string
		}
		Owners []struct {
			Nodes  []string
			Class  uint8
			Owners []string
		}
	}
	b, err := os.ReadFile("testdata/owner.json")
	if err == nil {
		err = json.Unmarshal(b, &vectors)
	}
	if err != nil || len(vectors.Weights) < 10 || len(vectors.Owners) < 5 {
		t.Fatalf("%v, %d and %d vectors", err, len(vectors.Weights), len(vectors.Owners))
	}
	for _, v := range vectors.Weights {
		if got := registry.Weight(hex(t, v.ID), registry.Queue{Class: v.Class, Number: v.Number}); got != hex(t, v.Weight) {
			t.Errorf("the weight of %+v is %016x", v, got)
		}
	}
	for _, v := range vectors.Owners {
		var ids []uint64
		for _, id := range v.Nodes {
			ids = append(ids, hex(t, id))
		}
		for number, want := range v.Owners {
			if got := owner(t, registry.Queue{Class: v.Class, Number: uint32(number)}, viewOf(ids...)); got != hex(t, want) {
				t.Errorf("queue %d of class %d belongs to %016x, want %s", number, v.Class, got, want)
			}
		}
	}
}

// TestOwnersAreEven: every node gets its share, within what chance does.
func TestOwnersAreEven(t *testing.T) {
	const queues = 20_000
	random := rand.New(rand.NewPCG(1, 2))
	for _, nodes := range []int{2, 3, 10} {
		ids := make([]uint64, nodes)
		for i := range ids {
			ids[i] = random.Uint64()
		}
		view, owned := viewOf(ids...), make(map[uint64]int)
		for q := range uint32(queues) {
			owned[owner(t, registry.Queue{Class: uint8(q % 2), Number: q / 2}, view)]++
		}
		share := float64(queues) / float64(nodes)
		for _, id := range ids {
			if off := math.Abs(float64(owned[id]) - share); off > 5*math.Sqrt(share) {
				t.Errorf("of %d nodes one owns %d queues, the share is %.0f", nodes, owned[id], share)
			}
		}
	}
}

// TestSmallNumbersAreEven: nodes with ids that are near each other, and few queues.
func TestSmallNumbersAreEven(t *testing.T) {
	owned := make([]int, 3)
	for id := uint64(1); id <= 3000; id += 3 {
		for q := range uint32(4) {
			owned[owner(t, registry.Queue{Number: q}, viewOf(id, id+1, id+2))-id]++
		}
	}
	for i, n := range owned {
		if n < 1333-180 || n > 1333+180 {
			t.Errorf("of three nodes number %d owns %d of 4,000", i, n)
		}
	}
}

// TestOwnersMoveLittle: a node that comes takes only what it owns then, and leaving
// gives the others only what it owned.
func TestOwnersMoveLittle(t *testing.T) {
	const queues = 5000
	ids := []uint64{11, 22, 33, 44}
	before, after := viewOf(ids...), viewOf(append(slices.Clone(ids), 55)...)
	moved := 0
	for q := range uint32(queues) {
		old, now := owner(t, registry.Queue{Number: q}, before), owner(t, registry.Queue{Number: q}, after)
		if old != now && now != 55 {
			t.Fatalf("queue %d moved from %d to %d", q, old, now)
		}
		if now == 55 {
			moved++
		}
	}
	if moved < 800 || moved > 1200 {
		t.Errorf("%d of %d queues moved to a fifth node", moved, queues)
	}
}

func TestOwnerOfNothing(t *testing.T) {
	if n, ok := registry.Owner(registry.Logic, registry.Queue{}, viewOf()); ok {
		t.Errorf("of no nodes %+v owns a queue", n)
	}
	if n, ok := registry.Owner(registry.Transfer, registry.Queue{}, viewOf(1, 2)); ok {
		t.Errorf("of the nodes of another role %+v owns a queue", n)
	}
}
