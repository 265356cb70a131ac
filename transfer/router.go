package transfer

import (
	"context"
	"errors"

	"gannet/protocol"
)

// router turns records into deliveries. It belongs to one follower and keeps its
// memory from batch to batch.
type router struct {
	server  *Server
	frames  []frame
	users   []uint64
	devices []Device
	found   map[uint64]span // of devices, by user
	gates   []*gate
}

// span is a run in a slice.
type span struct{ start, end int }

// gate gathers what goes to one gateway.
type gate struct {
	id         uint64
	deliveries []protocol.Delivery
	conns      []uint64
}

// push brings the records to every connected device that is entitled to them.
func (r *router) push(ctx context.Context, records [][]byte) error {
	c := &r.server.counters
	c.records.Add(uint64(len(records)))
	r.read(records)
	if err := r.locate(ctx); err != nil {
		return err
	}
	for i := range r.frames {
		r.route(&r.frames[i])
	}
	var errs error
	for _, g := range r.gates {
		if len(g.deliveries) > 0 {
			absent, err := r.server.config.Gateways.Push(ctx, g.id, g.deliveries)
			c.absent.Add(uint64(len(absent)))
			errs = errors.Join(errs, err)
		}
		clear(g.deliveries)
		g.deliveries, g.conns = g.deliveries[:0], g.conns[:0]
	}
	clear(r.frames)
	return errs
}

// read takes the frames out of the records. What cannot be read is counted and
// left in the store, where SYNC finds it: it must not block its lane.
func (r *router) read(records [][]byte) {
	c := &r.server.counters
	r.frames = r.frames[:0]
	for _, record := range records {
		for len(record) > 0 {
			f, n, ok := parse(record)
			if ok {
				r.frames = append(r.frames, f)
			} else {
				c.unreadable.Add(1)
				r.server.config.Log.Error("a record holds what is no push", "bytes", len(record))
			}
			if n == 0 {
				break
			}
			record = record[n:]
		}
	}
	c.frames.Add(uint64(len(r.frames)))
}

// locate looks up the devices of everybody concerned, once for the batch.
func (r *router) locate(ctx context.Context) error {
	if r.found == nil {
		r.found = make(map[uint64]span)
	}
	clear(r.found)
	r.users = r.users[:0]
	for i := range r.frames {
		for _, user := range members(r.frames[i].conversation) {
			if _, ok := r.found[user]; !ok && user != 0 {
				r.found[user] = span{}
				r.users = append(r.users, user)
			}
		}
	}
	var err error
	r.devices, err = r.server.config.Directory.Devices(ctx, r.users, r.devices[:0])
	if err != nil {
		return err
	}
	for i, d := range r.devices {
		s := r.found[d.User]
		if s.end == 0 {
			s.start = i
		}
		s.end = i + 1
		r.found[d.User] = s
	}
	return nil
}

// members gives who is entitled to what happens in the conversation; 0 is
// nobody.
func members(c protocol.Conversation) [2]uint64 {
	switch {
	case c.Kind == protocol.KindDirect && c.A != c.B:
		return [2]uint64{c.A, c.B}
	case c.Kind == protocol.KindDirect, c.Kind == protocol.KindSystem:
		return [2]uint64{c.A}
	default:
		return [2]uint64{}
	}
}

// route adds the frame to the deliveries of the gateways that hold its
// receivers.
func (r *router) route(f *frame) {
	for _, user := range members(f.conversation) {
		s := r.found[user]
		for _, d := range r.devices[s.start:s.end] {
			if d.User == f.user && d.Device == f.device {
				continue
			}
			r.gate(d.At.Gateway).add(f.bytes, d.At.Conn)
			r.server.counters.deliveries.Add(1)
		}
	}
}

func (r *router) gate(id uint64) *gate {
	for _, g := range r.gates {
		if g.id == id {
			return g
		}
	}
	g := &gate{id: id}
	r.gates = append(r.gates, g)
	return g
}

// add puts a connection behind the frame's delivery, which is the newest one if
// it is there.
func (g *gate) add(frame []byte, conn uint64) {
	start := len(g.conns)
	g.conns = append(g.conns, conn)
	if last := len(g.deliveries) - 1; last >= 0 && &g.deliveries[last].Frame[0] == &frame[0] {
		start -= len(g.deliveries[last].Conns)
		g.deliveries = g.deliveries[:last]
	}
	g.deliveries = append(g.deliveries, protocol.Delivery{Frame: frame, Conns: g.conns[start:]})
}
