package rpc

import (
	"context"
	"net"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/logic"
	"gannet/internal/hop"
	"gannet/protocol"
)

// Logic is what a logic node serves; logic.Service has it.
type Logic interface {
	Login(ctx context.Context, logins []hop.Login) ([]hop.Welcome, error)
	Enter(ctx context.Context, connections []hop.Binding) ([]protocol.Code, error)
	Logout(ctx context.Context, over []hop.Binding) error
	BindAgain(ctx context.Context, again []hop.Rebinding) (lost []uint32, err error)
	Forward(ctx context.Context, batch *hop.Forward) (hop.Answers, error)
	Query(ctx context.Context, query *hop.Query) ([]byte, error)
	Redeliver(ctx context.Context, again *hop.Redelivery) ([]byte, error)
}

// ServeLogic serves the calls to a logic node. If placement says that another node has the queue
// of a batch, the answer names that node.
func ServeLogic(ln net.Listener, l Logic, placement Placement, c Config) *Server {
	s := newServer(ln, c)
	return s.run(logic.NewServer(&logicServer{Server: s, logic: l, placement: placement}, s.options()...))
}

type logicServer struct {
	*Server
	logic     Logic
	placement Placement
}

func identity(gateway, conn, user, device int64) hop.Identity {
	return hop.Identity{Gateway: uint64(gateway), Conn: uint64(conn), User: uint64(user), Device: uint64(device)}
}

// Forward implements gannet.Logic.
func (s *logicServer) Forward(_ context.Context, r *gannet.ForwardRequest) (*gannet.ForwardReply, error) {
	return answer(s.Server, "Forward", func(status int32) *gannet.ForwardReply { return &gannet.ForwardReply{Status: status} },
		func(ctx context.Context) (*gannet.ForwardReply, error) {
			if r == nil {
				return nil, noContent
			}
			batch := hop.Forward{
				Gateway: uint64(r.Gateway), Queue: int(r.Queue),
				Conns: unsigned64(r.Conns), Users: unsigned64(r.Users), Devices: unsigned64(r.Devices),
				Ends: unsigned32(r.Ends), Frames: r.Frames,
			}
			if batch.Check() != nil {
				return nil, misshapen
			}
			if r.Queue < 0 || r.Queue >= protocol.Partitions {
				return nil, outOfRange
			}
			s.placement.Newer(uint64(r.Version))
			if node, version, elsewhere := s.placement.Elsewhere(batch.Queue); elsewhere {
				s.moved.Add(1)
				return &gannet.ForwardReply{Status: gannet.MOVED, Owner: int64(node.ID), Address: node.Address, Version: int64(version)}, nil
			}
			answers, err := s.logic.Forward(ctx, &batch)
			if err != nil {
				return nil, err
			}
			return &gannet.ForwardReply{Of: signed32(answers.Of), Ends: signed32(answers.Ends), Frames: answers.Frames}, nil
		})
}

// Query implements gannet.Logic.
func (s *logicServer) Query(_ context.Context, r *gannet.QueryRequest) (*gannet.FramesReply, error) {
	return answer(s.Server, "Query", framesStatus, func(ctx context.Context) (*gannet.FramesReply, error) {
		if r == nil {
			return nil, noContent
		}
		b, err := s.logic.Query(ctx, &hop.Query{Identity: identity(r.Gateway, r.Conn, r.User, r.Device), Frame: r.Frame})
		return &gannet.FramesReply{Frames: b}, err
	})
}

// Redeliver implements gannet.Logic.
func (s *logicServer) Redeliver(_ context.Context, r *gannet.RedeliverRequest) (*gannet.FramesReply, error) {
	return answer(s.Server, "Redeliver", framesStatus, func(ctx context.Context) (*gannet.FramesReply, error) {
		switch {
		case r == nil:
			return nil, noContent
		case !is8(r.Kind):
			return nil, outOfRange
		}
		b, err := s.logic.Redeliver(ctx, &hop.Redelivery{
			Identity: identity(r.Gateway, r.Conn, r.User, r.Device),
			Range: protocol.Range{
				Target: protocol.Target{Kind: protocol.Kind(r.Kind), ID: uint64(r.Id)}, First: uint64(r.First), Last: uint64(r.Last),
			},
		})
		return &gannet.FramesReply{Frames: b}, err
	})
}

func framesStatus(status int32) *gannet.FramesReply { return &gannet.FramesReply{Status: status} }
