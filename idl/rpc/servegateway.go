package rpc

import (
	"context"
	"net"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/gateway"
	"gannet/internal/hop"
	"gannet/protocol"
)

// Gateway is the part of a gateway that calls reach. gateway.Gateway has it. Config.Epoch must be
// set.
type Gateway interface {
	Push(ctx context.Context, push *hop.Push) (absent []uint64)
	Kick(conn uint64, code protocol.Code)
}

// ServeGateway serves the calls to a gateway.
func ServeGateway(ln net.Listener, g Gateway, c Config) *Server {
	s := newServer(ln, c)
	return s.run(gateway.NewServer(&gatewayServer{Server: s, gateway: g}, s.options()...))
}

type gatewayServer struct {
	*Server
	gateway Gateway
}

// Push implements gannet.Gateway.
func (s *gatewayServer) Push(_ context.Context, r *gannet.PushRequest) (*gannet.PushReply, error) {
	return answer(s.Server, "Push", func(status int32) *gannet.PushReply { return &gannet.PushReply{Status: status} },
		func(ctx context.Context) (*gannet.PushReply, error) {
			if r == nil {
				return nil, noContent
			}
			frames, ok := spans(r.Frames)
			receivers, rok := spans(r.Receivers)
			push := hop.Push{Blob: r.Blob, Frames: frames, Receivers: receivers, Conns: unsigned64(r.Conns), Everything: r.Everything}
			if !ok || !rok || push.Check() != nil {
				return nil, misshapen
			}
			if !s.mine(r.Epoch) {
				return &gannet.PushReply{Status: gannet.OTHER}, nil
			}
			return &gannet.PushReply{Absent: signed64(s.gateway.Push(ctx, &push))}, nil
		})
}

// Kick implements gannet.Gateway.
func (s *gatewayServer) Kick(_ context.Context, r *gannet.KickRequest) (*gannet.KickReply, error) {
	return answer(s.Server, "Kick", func(status int32) *gannet.KickReply { return &gannet.KickReply{Status: status} },
		func(context.Context) (*gannet.KickReply, error) {
			switch {
			case r == nil:
				return nil, noContent
			case len(r.Conns) != len(r.Codes):
				return nil, misshapen
			case !s.mine(r.Epoch):
				return &gannet.KickReply{Status: gannet.OTHER}, nil
			}
			for i, conn := range unsigned64(r.Conns) {
				code := protocol.Code(r.Codes[i])
				if !is16(r.Codes[i]) || code.Meaning() == "" {
					code = protocol.CodeInternal
				}
				s.gateway.Kick(conn, code)
			}
			return &gannet.KickReply{}, nil
		})
}
