package rpc

import (
	"context"
	"net"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/transfer"
	"gannet/internal/hop"
)

// Router is what a transfer node serves; transfer.Server has it.
type Router interface {
	Receipts(ctx context.Context, record *hop.Record) error
}

// ServeTransfer serves the calls to a transfer node.
func ServeTransfer(ln net.Listener, r Router, c Config) *Server {
	s := newServer(ln, c)
	return s.run(transfer.NewServer(&transferServer{Server: s, router: r}, s.options()...))
}

type transferServer struct {
	*Server
	router Router
}

// Receipts implements gannet.Transfer. It answers OK even if some receipts cannot be routed,
// because they are not worth sending again.
func (s *transferServer) Receipts(_ context.Context, r *gannet.ReceiptsRequest) (*gannet.ReceiptsReply, error) {
	return answer(s.Server, "Receipts", func(status int32) *gannet.ReceiptsReply { return &gannet.ReceiptsReply{Status: status} },
		func(ctx context.Context) (*gannet.ReceiptsReply, error) {
			if r == nil {
				return nil, noContent
			}
			records, err := cutRecords(r)
			if err != nil {
				return nil, err
			}
			for i := range records {
				if err := s.router.Receipts(ctx, &records[i]); err != nil && s.failed.Note() {
					s.config.Log.Warn("rpc: receipts could not be routed", "queue", records[i].Queue, "error", err)
				}
			}
			return &gannet.ReceiptsReply{}, nil
		})
}

// cutRecords decodes the records. They may hold receipts only.
func cutRecords(r *gannet.ReceiptsRequest) ([]hop.Record, error) {
	records := make([]hop.Record, len(r.Ends))
	start := uint32(0)
	for i, end := range unsigned32(r.Ends) {
		if end < start || uint64(end) > uint64(len(r.Records)) {
			return nil, misshapen
		}
		if records[i].Decode(r.Records[start:end:end]) != nil {
			return nil, refusal("it has what is no record")
		}
		for _, e := range records[i].Entries {
			if e.Op != hop.OpReceipt {
				return nil, refusal("it has what is no receipt")
			}
		}
		start = end
	}
	if uint64(start) != uint64(len(r.Records)) {
		return nil, misshapen
	}
	return records, nil
}
