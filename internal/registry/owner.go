package registry

import "slices"

// Queue names a queue: its class, as the map of queues numbers classes, and its number
// within the class.
type Queue struct {
	Class  uint8
	Number uint32
}

// Owner gives the node of a role that owns a queue under a view. Every process with the same
// nodes in its view gets the same answer. Only serving nodes own queues; ok is false if there is
// none.
//
// It is plain rendezvous hashing: the node with the highest Weight wins, and of two equal ones
// the node with the lower id. All nodes count alike. When a node comes or goes, only the queues
// that it gains or had move.
func Owner(role Role, queue Queue, view *View) (owner Node, ok bool) {
	return highest(role, queue, view, Serving)
}

// Heir gives the node that will own a queue when all joining nodes serve. If that is not the
// owner, the owner must not hold anything back, because it will lose the queue.
func Heir(role Role, queue Queue, view *View) (heir Node, ok bool) {
	return highest(role, queue, view, Serving, Joining)
}

// highest gives the node with the highest weight of those in one of the states.
func highest(role Role, queue Queue, view *View, states ...State) (owner Node, ok bool) {
	best, most := -1, uint64(0)
	for i := range view.Nodes {
		n := &view.Nodes[i]
		if n.Role != role || !slices.Contains(states, n.State) {
			continue
		}
		if w := Weight(n.ID, queue); best < 0 || w > most {
			best, most = i, w
		}
	}
	if best < 0 {
		return Node{}, false
	}
	return view.Nodes[best], true
}

// Weight is how much a node wants a queue. The hash is fixed for ever, for nodes of
// different versions must agree; testdata/owner.json has vectors of it. With
//
//	mix(x) = y ^ y>>31 where
//	     y = (z ^ z>>27) * 0x94d049bb133111eb,
//	     z = (v ^ v>>30) * 0xbf58476d1ce4e5b9 and
//	     v = x + 0x9e3779b97f4a7c15,
//
// all modulo 2^64 (a step of SplitMix64), it is mix(mix(id) ^ (class << 32 | number)).
func Weight(id uint64, queue Queue) uint64 {
	return mix(mix(id) ^ (uint64(queue.Class)<<32 | uint64(queue.Number)))
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
