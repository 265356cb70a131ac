package directorytest

import (
	"math"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/protocol"
)

// allSizes: all numbers have 64 bits, and every bit counts.
func allSizes(w *world) {
	sizes := []uint64{0, 1, 10, 127, 128, 255, 256, 1<<32 - 1, 1 << 32, 1 << 53, 1<<53 + 1, 1<<63 - 1, 1 << 63, 1<<63 + 1, math.MaxUint64 - 1, math.MaxUint64}
	for _, user := range sizes {
		last := directory.Device{}
		for i, n := range sizes {
			b := directory.Bind{User: user, Device: user, Platform: protocol.PlatformWeb, Number: n, At: hop.Address{Gateway: n | 1, Conn: ^n}}
			w.wantBound(b, directory.Bound{Replaced: last.At})
			last = directory.Device{User: user, Device: user, Platform: protocol.PlatformWeb, At: b.At}
			w.want(user, last)
			if i > 0 {
				w.wantBound(bindOf(user, user, sizes[i-1], 5), directory.Bound{Lost: true})
			}
		}
	}
	for _, device := range sizes[1:] {
		w.wantBound(bindOf(7, device, device, device), directory.Bound{})
	}
	for i, device := range sizes[1:] {
		if _, got := w.lookUp(7, 0); len(got) != len(sizes)-1-i || got[0] != deviceOf(7, device, device) {
			w.t.Fatalf("%d devices are there, the first is %+v", len(got), got[0])
		}
		w.unbind(bindOf(7, device, device^1, device), bindOf(7, device, device, device^1))
		w.unbind(bindOf(7, device, device, device))
	}
	w.want(7)
}
