package operate

import "sync/atomic"

// Raise makes a number at least this large. It never lowers it, whoever else raises it meanwhile.
func Raise(n *atomic.Uint64, to uint64) {
	for was := n.Load(); was < to && !n.CompareAndSwap(was, to); was = n.Load() {
	}
}
