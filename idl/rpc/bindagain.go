package rpc

import (
	"context"
	"fmt"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/logic"
	"gannet/internal/hop"
	"gannet/protocol"
)

// BindAgain implements gateway.Binder. It may be carried out twice, which changes nothing.
func (l *Logics) BindAgain(ctx context.Context, again []hop.Rebinding) (lost []uint32, err error) {
	n := len(again)
	request := &gannet.BindAgainRequest{
		Gateways: make([]int64, n), Conns: make([]int64, n), Users: make([]int64, n), Devices: make([]int64, n),
		Platforms: make([]int32, n), Numbers: make([]int64, n), Was: make([]int64, n),
	}
	for i, b := range again {
		request.Gateways[i], request.Conns[i], request.Users[i], request.Devices[i] = int64(b.Gateway), int64(b.Conn), int64(b.User), int64(b.Device)
		request.Platforms[i], request.Numbers[i], request.Was[i] = int32(b.Platform), int64(b.Number), int64(b.Was)
	}
	err = l.calls.call(ctx, l.anyone(), func(ctx context.Context, c logic.Client) error {
		reply, err := c.BindAgain(ctx, request)
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		case reply.Status != gannet.OK:
			return meaning(reply.Status)
		}
		lost = unsigned32(reply.Lost)
		for i, which := range lost {
			if int64(which) >= int64(n) || i > 0 && which <= lost[i-1] {
				return fmt.Errorf("%w: connection %d of %d is lost", errAnswer, which, n)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lost, nil
}

// BindAgain implements gannet.Logic.
func (s *logicServer) BindAgain(_ context.Context, r *gannet.BindAgainRequest) (*gannet.BindAgainReply, error) {
	return answer(s.Server, "BindAgain", func(status int32) *gannet.BindAgainReply { return &gannet.BindAgainReply{Status: status} },
		func(ctx context.Context) (*gannet.BindAgainReply, error) {
			if r == nil {
				return nil, noContent
			}
			n := len(r.Conns)
			if len(r.Gateways) != n || len(r.Users) != n || len(r.Devices) != n || len(r.Platforms) != n || len(r.Numbers) != n || len(r.Was) != n {
				return nil, misshapen
			}
			again := make([]hop.Rebinding, n)
			for i := range again {
				if !is8(r.Platforms[i]) {
					return nil, outOfRange
				}
				again[i] = hop.Rebinding{
					Binding: hop.Binding{
						Identity: identity(r.Gateways[i], r.Conns[i], r.Users[i], r.Devices[i]),
						Platform: protocol.Platform(r.Platforms[i]), Number: uint64(r.Numbers[i]),
					},
					Was: uint64(r.Was[i]),
				}
			}
			lost, err := s.logic.BindAgain(ctx, again)
			return &gannet.BindAgainReply{Lost: signed32(lost)}, err
		})
}
