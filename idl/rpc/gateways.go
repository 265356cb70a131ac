package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/gateway"
	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// errUnknown says that this process' view of the registry does not have an epoch.
var errUnknown = errors.New("rpc: the gateway's epoch is not known yet")

// pushBytes bounds one call of Push. More than that goes in several calls, one after the other.
// The bound is far more than a record with its receivers needs.
const pushBytes = 4 << 20

// Gateways makes the calls of transfer and logic to gateways. It implements transfer.Gateways and
// logic.Gateways.
type Gateways struct {
	epochs Epochs
	calls  *calls[gateway.Client]
	kicks  kicks
}

// NewGateways makes the client.
func NewGateways(epochs Epochs, log *slog.Logger) *Gateways {
	g := &Gateways{epochs: epochs, calls: newCalls("gateway", log, gateway.NewClient)}
	g.kicks.gateways = g
	return g
}

// Close closes the connections, those with a call under way once it is over.
func (g *Gateways) Close() { g.calls.peers.close() }

// Stats gives every counter by name.
func (g *Gateways) Stats() map[string]uint64 { return g.calls.stats() }

// find gives the address of an epoch.
func (g *Gateways) find(epoch uint64) (string, error) {
	address, ended := g.epochs.Gateway(epoch)
	switch {
	case ended:
		return "", transfer.ErrEnded
	case address == "":
		return "", errUnknown
	}
	return address, nil
}

// Push implements transfer.Gateways, on a goroutine of its own. It tries once; transfer repeats a
// push as long as the gateway is registered.
func (g *Gateways) Push(ctx context.Context, epoch uint64, pushes []*hop.Push, done func(absent []uint64, err error)) {
	go func() {
		absent, err := g.push(ctx, epoch, pushes)
		done(absent, err)
	}()
}

func (g *Gateways) push(ctx context.Context, epoch uint64, pushes []*hop.Push) (absent []uint64, err error) {
	address, err := g.find(epoch)
	if err != nil {
		return nil, err
	}
	for _, push := range pushes {
		if err := push.Check(); err != nil {
			// This is our own mistake. Generated code would send the push, and the gateway would
			// refuse it.
			return nil, fmt.Errorf("%w: %w", transfer.ErrRefused, err)
		}
	}
	ends := time.Now().Add(g.calls.try)
	for part := range parts(pushes, pushBytes) {
		gone, err := g.pushPart(ctx, address, epoch, ends, part)
		if err != nil {
			if _, ended := g.epochs.Gateway(epoch); ended {
				return nil, transfer.ErrEnded
			}
			if errors.Is(err, errRefused) {
				return nil, fmt.Errorf("%w: %w", transfer.ErrRefused, err)
			}
			return nil, fmt.Errorf("rpc: gateway: %w", err)
		}
		absent = append(absent, gone...)
	}
	return absent, nil
}

func (g *Gateways) pushPart(ctx context.Context, address string, epoch uint64, ends time.Time, part *hop.Push) (absent []uint64, err error) {
	request := &gannet.PushRequest{
		Epoch: int64(epoch), Frames: pairs(part.Frames), Receivers: pairs(part.Receivers), Conns: signed64(part.Conns),
		Everything: part.Everything, Blob: part.Blob,
	}
	err = g.calls.once(ctx, address, ends, func(ctx context.Context, c gateway.Client) error {
		reply, err := c.Push(ctx, request)
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		case reply.Status != gannet.OK:
			return meaning(reply.Status)
		}
		deliveries := 0
		for _, r := range part.Receivers {
			deliveries += r.Len()
		}
		if absent = unsigned64(reply.Absent); len(absent) > deliveries {
			return fmt.Errorf("%w: %d connections are absent, of %d", errAnswer, len(absent), deliveries)
		}
		return nil
	})
	if err != nil {
		g.calls.failure(address, err)
		return nil, err
	}
	return absent, nil
}

// kick makes one call that closes connections of a gateway. A gateway whose registration has
// ended has no connections.
func (g *Gateways) kick(ctx context.Context, epoch uint64, conns []uint64, codes []int32) error {
	if _, err := g.find(epoch); errors.Is(err, transfer.ErrEnded) {
		return nil
	}
	request := &gannet.KickRequest{Epoch: int64(epoch), Conns: signed64(conns), Codes: codes}
	to := func(int) (string, bool) {
		address, err := g.find(epoch)
		return address, err == nil
	}
	return g.calls.call(ctx, to, func(ctx context.Context, c gateway.Client) error {
		reply, err := c.Kick(ctx, request)
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		}
		return meaning(reply.Status)
	})
}

// Kick implements logic.Gateways. Kicks that wait for the same gateway go in one call.
func (g *Gateways) Kick(ctx context.Context, at hop.Address, code protocol.Code) error {
	return g.kicks.add(ctx, at, code)
}

// parts joins pushes and cuts them into parts that take at most room bytes each. It leaves out
// bytes of the blobs that belong to no frame, unless that is a single push with few of them.
func parts(pushes []*hop.Push, room int) func(yield func(*hop.Push) bool) {
	return func(yield func(*hop.Push) bool) {
		var all size
		for _, push := range pushes {
			all.add(push)
		}
		if len(pushes) == 1 && len(pushes[0].Blob) <= all.bytes+all.bytes/4 && len(pushes[0].Blob)+8*all.conns+16*all.frames <= room {
			yield(pushes[0])
			return
		}
		part, used := all.within(room), 0
		for _, push := range pushes {
			part.Everything = part.Everything || push.Everything
			for i := range push.Frames {
				frame, to := push.Bytes(i), push.To(i)
				for first := true; first || len(to) > 0; first = false {
					if used > 0 && used+len(frame)+16+8*min(len(to), 1) > room {
						if !yield(part) {
							return
						}
						part, used = &hop.Push{}, 0
					}
					n := min(len(to), max((room-used-len(frame)-16)/8, 1))
					addTo(part, frame, to[:n])
					used += len(frame) + 16 + 8*n
					to = to[n:]
				}
			}
		}
		yield(part)
	}
}

// size is how much pushes hold: bytes of frames, frames and receivers.
type size struct{ bytes, frames, conns int }

func (s *size) add(p *hop.Push) {
	s.frames += len(p.Frames)
	s.conns += len(p.Conns)
	for _, f := range p.Frames {
		s.bytes += f.Len()
	}
}

// within makes a push with room for all of it, but for no more bytes than a call has.
func (s size) within(room int) *hop.Push {
	return &hop.Push{
		Blob:   make([]byte, 0, min(s.bytes, room)),
		Frames: make([]hop.Span, 0, min(s.frames, room/16)), Receivers: make([]hop.Span, 0, min(s.frames, room/16)),
		Conns: make([]uint64, 0, min(s.conns, room/8)),
	}
}

// addTo adds a frame and its receivers to a push.
func addTo(p *hop.Push, frame []byte, to []uint64) {
	at, from := uint32(len(p.Blob)), uint32(len(p.Conns))
	p.Blob = append(p.Blob, frame...)
	if n := len(p.Receivers); n > 0 && slices.Equal(p.To(n-1), to) {
		from = p.Receivers[n-1].Start
	} else {
		p.Conns = append(p.Conns, to...)
	}
	p.Frames = append(p.Frames, hop.Span{Start: at, End: uint32(len(p.Blob))})
	p.Receivers = append(p.Receivers, hop.Span{Start: from, End: from + uint32(len(to))})
}
