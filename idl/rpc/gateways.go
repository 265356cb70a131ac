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

// pushBytes bounds one call of Push; a push that takes more goes in several, one after
// the other. It is far more than a record with its receivers takes.
const pushBytes = 4 << 20

// Gateways is the gateways as transfer and logic need them: it implements
// transfer.Gateways and logic.Gateways.
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

// Push implements transfer.Gateways, on a goroutine of its own. It makes one try: who
// pushes repeats it for as long as the gateway is registered.
func (g *Gateways) Push(ctx context.Context, epoch uint64, push *hop.Push, done func(absent []uint64, err error)) {
	go func() {
		absent, err := g.push(ctx, epoch, push)
		done(absent, err)
	}()
}

func (g *Gateways) push(ctx context.Context, epoch uint64, push *hop.Push) (absent []uint64, err error) {
	address, err := g.find(epoch)
	if err != nil {
		return nil, err
	}
	if err := push.Check(); err != nil {
		// One's own mistake, which generated code would send and the gateway refuse.
		return nil, fmt.Errorf("%w: %w", transfer.ErrRefused, err)
	}
	ends := time.Now().Add(tryTimeout)
	for part := range parts(push, pushBytes) {
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

// kick makes a call that closes connections of one gateway. One that has ended has none.
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

// Kick implements logic.Gateways. Those that wait for one gateway go in one call.
func (g *Gateways) Kick(ctx context.Context, at hop.Address, code protocol.Code) error {
	return g.kicks.add(ctx, at, code)
}

// parts cuts a push so that none of it takes more than room. Bytes of the blob that
// belong to no frame do not travel, if they are many.
func parts(push *hop.Push, room int) func(yield func(*hop.Push) bool) {
	return func(yield func(*hop.Push) bool) {
		frames := 0
		for _, f := range push.Frames {
			frames += f.Len()
		}
		if len(push.Blob) <= frames+frames/4 && len(push.Blob)+8*len(push.Conns)+16*len(push.Frames) <= room {
			yield(push)
			return
		}
		part := &hop.Push{Everything: push.Everything}
		size := 0
		for i := range push.Frames {
			frame, to := push.Bytes(i), push.To(i)
			for first := true; first || len(to) > 0; first = false {
				if size > 0 && size+len(frame)+16+8*min(len(to), 1) > room {
					if !yield(part) {
						return
					}
					part, size = &hop.Push{}, 0
				}
				n := min(len(to), max((room-size-len(frame)-16)/8, 1))
				addTo(part, frame, to[:n])
				size += len(frame) + 16 + 8*n
				to = to[n:]
			}
		}
		yield(part)
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
