package rpc

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/transfer"
	"gannet/internal/hop"
	"gannet/internal/operate"
)

// receiptBytes bounds the receipts that wait for one transfer node. Those that do not fit are
// dropped: clients learn about them with the next SYNC.
const receiptBytes = 1 << 20

// errFull says that receipts were dropped.
var errFull = errors.New("rpc: too many receipts wait for a transfer node")

// Receipts makes the calls of logic to the transfer nodes. It implements logic.Receipts. It does
// not wait for transfer, because receipts are sent before SENDs are answered. Receipts that come
// while a call is under way go in the next one.
type Receipts struct {
	nodes   Nodes
	calls   *calls[transfer.Client]
	dropped operate.Trouble
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	by     map[string]*outlet // by address of the node
}

// outlet has the receipts that wait for one node, to which a call is under way. Receipts.mu
// guards it.
type outlet struct {
	ends    []uint32
	records []byte
}

// NewReceipts makes the client.
func NewReceipts(nodes Nodes, log *slog.Logger) *Receipts {
	return &Receipts{nodes: nodes, calls: newCalls("transfer", log, transfer.NewClient), by: make(map[string]*outlet)}
}

// Close sends what waits and closes the connections.
func (r *Receipts) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.running.Wait()
	r.calls.peers.close()
}

// Stats gives every counter by name.
func (r *Receipts) Stats() map[string]uint64 {
	stats := r.calls.stats()
	stats["drop.full"] = r.dropped.Times()
	return stats
}

// Receipts implements logic.Receipts. An error means that the record was dropped at once. A
// record that is lost later is only counted.
func (r *Receipts) Receipts(_ context.Context, record *hop.Record) error {
	node, _, ok := r.nodes.Of(record.Queue)
	if !ok {
		r.dropped.Count()
		return errNobody
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	o, busy := r.by[node.Address]
	if !busy {
		o = &outlet{}
	}
	before := len(o.records)
	o.records = record.Append(o.records)
	if before > 0 && len(o.records) > receiptBytes {
		o.records = o.records[:before]
		r.dropped.Count()
		return errFull
	}
	o.ends = append(o.ends, uint32(len(o.records)))
	if !busy {
		r.by[node.Address] = o
		r.running.Go(func() { r.run(node.Address, o) })
	}
	return nil
}

// run sends what waits for a node until nothing does.
func (r *Receipts) run(address string, o *outlet) {
	var sent, spare outlet
	to := func(int) (string, bool) { return address, true }
	for {
		r.mu.Lock()
		if len(o.ends) == 0 {
			delete(r.by, address)
			r.mu.Unlock()
			return
		}
		sent, *o = *o, spare
		r.mu.Unlock()
		request := &gannet.ReceiptsRequest{Ends: signed32(sent.ends), Records: sent.records}
		// An error was counted already, and nobody waits for it.
		_ = r.calls.call(context.Background(), to, func(ctx context.Context, c transfer.Client) error {
			reply, err := c.Receipts(ctx, request)
			switch {
			case err != nil:
				return err
			case reply == nil:
				return errNoReply
			}
			return meaning(reply.Status)
		})
		spare = outlet{ends: sent.ends[:0], records: sent.records[:0]}
	}
}
