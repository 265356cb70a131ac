package gateway

import (
	"cmp"
	"sync/atomic"

	"gannet/internal/hop"
)

// window counts the frames of a connection that logic has not answered, in the upper 32 bits, and
// their bytes, in the lower. They are in one number because they change together.
type window struct{ both atomic.Int64 }

// add adds to both and gives the new values.
func (w *window) add(frames, bytes int) (int, int) {
	v := w.both.Add(int64(frames)<<32 + int64(bytes))
	return int(v >> 32), int(uint32(v))
}

// filling is a batch, with the part that each frame came from.
type filling struct {
	batch   hop.Forward
	parts   []*part
	refused []int // indexes, rising, of SENDs that must be refused (mark)
	old     int   // frames that Stop waits for
}

// add copies a frame to the end of the batch. If it panics, nothing of the frame stays in the
// batch.
func (f *filling) add(p *part, frame []byte) {
	defer f.mend(len(f.parts))
	s := p.session
	f.batch.Add(s.id, s.user, s.device, frame)
	f.parts = append(f.parts, p)
}

// mend cuts the lists to n entries if add did not come to its end.
func (f *filling) mend(n int) {
	if len(f.parts) == n {
		f.cut(n)
	}
}

// cut leaves the first n frames.
func (f *filling) cut(n int) {
	b := &f.batch
	end := 0
	if n > 0 {
		end = int(b.Ends[n-1])
	}
	b.Conns, b.Users, b.Devices = b.Conns[:n], b.Users[:n], b.Devices[:n]
	b.Ends, b.Frames = b.Ends[:n], b.Frames[:end]
	clear(f.parts[n:])
	f.parts = f.parts[:n]
}

// mark is called for frame i, the oldest frame of its part. It notes whether Stop waits for the
// frame, and whether the frame is a SEND to refuse. The caller holds the lane's mu.
func (f *filling) mark(p *part, i int) {
	if p.old > 0 {
		p.old--
		f.old++
	}
	if p.void > 0 {
		p.void--
		if isSend(f.batch.Bytes(i)) {
			f.refused = append(f.refused, i)
		}
	}
}

// reset empties the filling and keeps its memory.
func (f *filling) reset() {
	f.cut(0)
	f.refused, f.old = f.refused[:0], 0
}

// release takes the frames of a batch that was carried out of the windows of their
// connections.
func (f *filling) release() {
	start := uint32(0)
	for i, j := 0, 0; i < len(f.parts); i = j {
		for j = i + 1; j < len(f.parts) && f.parts[j] == f.parts[i]; j++ {
		}
		end := f.batch.Ends[j-1]
		f.parts[i].session.window.add(i-j, int(start)-int(end))
		start = end
	}
}

// sift removes frames from a batch before it is carried: frames of closed connections that want
// an answer, and SENDs that would overtake an earlier one which logic told to wait. Acks of
// closed connections stay, because the client has acked.
func (l *lane) sift(f *filling) {
	clean := len(f.refused) == 0
	var before *part
	for _, p := range f.parts {
		if p == before {
			continue
		}
		if before = p; p.session.phase.Load() == phaseClosing {
			clean = false
			break
		}
	}
	if clean {
		return
	}
	kept, dropped, refused := 0, uint64(0), f.refused
	for i, p := range f.parts {
		frame := f.batch.Bytes(i)
		void := len(refused) > 0 && refused[0] == i
		if void {
			refused = refused[1:]
		}
		switch s := p.session; {
		case s.phase.Load() == phaseClosing && wantsAnswer(frame):
			dropped++
			s.window.add(-1, -len(frame))
		case void:
			s.window.add(-1, -len(frame))
			l.refuseVoid(p, requestOf(frame))
		default:
			f.move(kept, i)
			kept++
		}
	}
	f.cut(kept)
	f.refused = f.refused[:0]
	l.gateway.counters.droppedFrames.Add(dropped)
}

// move copies frame i to position to, which is at most i. The frames before that are in place
// already.
func (f *filling) move(to, i int) {
	if to == i {
		return
	}
	b := &f.batch
	frame := b.Bytes(i)
	start := 0
	if to > 0 {
		start = int(b.Ends[to-1])
	}
	end := start + copy(b.Frames[start:], frame)
	b.Conns[to], b.Users[to], b.Devices[to] = b.Conns[i], b.Users[i], b.Devices[i]
	b.Ends[to] = uint32(end)
	f.parts[to] = f.parts[i]
}

// measure says how large a batch may be, and how much each frame counts in addition to its bytes.
type measure struct{ most, frame int }

func newMeasure(c *Config) measure {
	return measure{max(cmp.Or(c.BatchBytes, DefaultBatchBytes), minBatchBytes), max(c.FrameCost, 0)}
}

// of is how much a frame of so many bytes counts.
func (m measure) of(bytes int) int { return bytes + m.frame }

// with is how much a filling counts when a frame of so many bytes is added.
func (m measure) with(f *filling, bytes int) int {
	return len(f.batch.Frames) + f.batch.Len()*m.frame + m.of(bytes)
}

// filling gives the last batch of the queue if it has room for a frame of so many bytes, and
// otherwise a new one. The caller holds mu.
func (l *lane) filling(bytes int) *filling {
	room := l.gateway.batches.most
	if l.surplus > 0 {
		room -= max(room/surplusShare, l.longest)
	}
	if n := len(l.waiting); n > 0 {
		if f := l.waiting[n-1]; l.gateway.batches.with(f, bytes) <= room {
			return f
		}
	}
	f := l.empty()
	l.waiting = append(l.waiting, f)
	return f
}

// empty gives a filling without frames. mu is held.
func (l *lane) empty() *filling {
	if n := len(l.spare); n > 0 {
		f := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return f
	}
	return &filling{batch: hop.Forward{Queue: l.index}}
}
