package attack

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"gannet/protocol"
)

// tally counts what the attackers got. Safe for concurrent use.
type tally struct {
	sockets atomic.Uint64
	frames  [256]atomic.Uint64 // by type; ERROR and CLOSE are below
	errors  [4096]atomic.Uint64
	closes  [4096]atomic.Uint64

	mu   sync.Mutex
	ends map[string]uint64 // how connections ended without a CLOSE
}

// frame counts a frame that came.
func (t *tally) frame(f protocol.Frame) {
	var m protocol.Failure
	switch {
	case f.Type != protocol.TypeError && f.Type != protocol.TypeClose:
		t.frames[f.Type].Add(1)
	case m.Decode(f.Payload) != nil || int(m.Code) >= len(t.errors):
		t.end("unreadable " + f.Type.String())
	case f.Type == protocol.TypeError:
		t.errors[m.Code].Add(1)
	default:
		t.closes[m.Code].Add(1)
	}
}

// ended counts the end of a connection by the other side.
func (t *tally) ended(where string, err error) {
	if how := peerEnded(err); how != "" {
		t.end(where + how)
	}
}

func (t *tally) end(how string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ends == nil {
		t.ends = make(map[string]uint64)
	}
	t.ends[how]++
}

// Got is what attackers got, by name: types of frames, codes ("busy"), reasons of
// CLOSE ("CLOSE not_reading"), and ends without one ("reset").
type Got map[string]uint64

func (t *tally) got() Got {
	got := Got{}
	put := func(name string, n uint64) {
		if n > 0 {
			got[name] += n
		}
	}
	put("sockets", t.sockets.Load())
	for i := range t.frames {
		put(protocol.Type(i).String(), t.frames[i].Load())
	}
	for i := range t.errors {
		put(protocol.Code(i).String(), t.errors[i].Load())
		put("CLOSE "+protocol.Code(i).String(), t.closes[i].Load())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for how, n := range t.ends {
		put(how, n)
	}
	return got
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}
