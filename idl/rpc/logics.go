package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"

	"gannet/idl/kitex_gen/gannet"
	"gannet/idl/kitex_gen/gannet/logic"
	"gannet/internal/hop"
	"gannet/internal/hostport"
	"gannet/protocol"
)

// Logics makes the calls of a gateway to the logic nodes. It implements gateway.Logic. A batch
// goes to the node that writes its queue, and so does every call about one conversation. All
// other calls are spread over the nodes.
type Logics struct {
	nodes  Nodes
	queues int
	turn   atomic.Uint32 // counts the calls that concern no conversation
	calls  *calls[logic.Client]
}

// NewLogics makes the client. queues is how many queues of class chat the cluster has.
func NewLogics(nodes Nodes, queues int, log *slog.Logger) *Logics {
	return &Logics{nodes: nodes, queues: queues, calls: newCalls("logic", log, logic.NewClient)}
}

// Close closes the connections. One with a call under way is closed after the call.
func (l *Logics) Close() { l.calls.peers.close() }

// Stats gives every counter by name.
func (l *Logics) Stats() map[string]uint64 { return l.calls.stats() }

// anyone routes to one node after the other. A node gets its share by the number of its queues.
func (l *Logics) anyone() route {
	first := l.turn.Add(1)
	return func(try int) (string, bool) { return l.of(int((uint64(first) + uint64(try)) % uint64(l.queues))) }
}

// near routes first to the node that writes the conversation's queue. Later tries go to the other
// nodes.
func (l *Logics) near(c protocol.Conversation) route {
	queue := c.Partition() % l.queues
	return func(try int) (string, bool) { return l.of((queue + try) % l.queues) }
}

func (l *Logics) of(queue int) (string, bool) {
	node, _, ok := l.nodes.Of(queue)
	return node.Address, ok
}

// Forward implements gateway.Logic. A batch may be processed twice. The second time changes
// nothing: a SEND is recognized by its client message id, and cursors only rise.
func (l *Logics) Forward(ctx context.Context, batch *hop.Forward) (answers hop.Answers, err error) {
	request := &gannet.ForwardRequest{
		Gateway: int64(batch.Gateway), Queue: int32(batch.Queue),
		Conns: signed64(batch.Conns), Users: signed64(batch.Users), Devices: signed64(batch.Devices),
		Ends: signed32(batch.Ends), Frames: batch.Frames,
	}
	told := "" // address of the queue's node, as told by the node asked before
	to := func(int) (string, bool) {
		node, version, ok := l.nodes.Of(batch.Queue)
		request.Version = int64(version)
		if told != "" {
			node.Address, ok, told = told, true, ""
		}
		return node.Address, ok
	}
	err = l.calls.call(ctx, to, func(ctx context.Context, c logic.Client) error {
		reply, err := c.Forward(ctx, request)
		switch {
		case errors.Is(err, syscall.ECONNREFUSED): // the node is dead; the registry may know by now
			l.nodes.Newer(uint64(request.Version) + 1)
			return err
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		case reply.Status == gannet.MOVED:
			if told = reply.Address; told != "" && hostport.Check(told) != nil {
				return fmt.Errorf("%w: the queue is said to be at %.80q", errAnswer, told)
			}
			l.nodes.Newer(uint64(reply.Version))
			return errMoved
		case reply.Status != gannet.OK:
			return meaning(reply.Status)
		}
		answers = hop.Answers{Of: unsigned32(reply.Of), Ends: unsigned32(reply.Ends), Frames: reply.Frames}
		if err := answers.Check(batch.Len()); err != nil {
			return fmt.Errorf("%w: %w", errAnswer, err)
		}
		return nil
	})
	if err != nil {
		return hop.Answers{}, err
	}
	return answers, nil
}

// Query implements gateway.Logic.
func (l *Logics) Query(ctx context.Context, query *hop.Query) ([]byte, error) {
	to := l.anyone()
	if f, _, err := protocol.Split(query.Frame, protocol.MaxFrame); err == nil && f.Type == protocol.TypeHistory {
		if target, ok := protocol.PeekTarget(f.Payload); ok {
			to = l.near(target.Conversation(query.User))
		}
	}
	request := &gannet.QueryRequest{
		Gateway: int64(query.Gateway), Conn: int64(query.Conn), User: int64(query.User), Device: int64(query.Device), Frame: query.Frame,
	}
	return l.frames(ctx, to, func(ctx context.Context, c logic.Client) (*gannet.FramesReply, error) { return c.Query(ctx, request) })
}

// Redeliver implements gateway.Logic.
func (l *Logics) Redeliver(ctx context.Context, again *hop.Redelivery) ([]byte, error) {
	request := &gannet.RedeliverRequest{
		Gateway: int64(again.Gateway), Conn: int64(again.Conn), User: int64(again.User), Device: int64(again.Device),
		Kind: int32(again.Target.Kind), Id: int64(again.Target.ID), First: int64(again.First), Last: int64(again.Last),
	}
	return l.frames(ctx, l.near(again.Target.Conversation(again.User)), func(ctx context.Context, c logic.Client) (*gannet.FramesReply, error) {
		return c.Redeliver(ctx, request)
	})
}

// frames makes a call that is answered with frames. The gateway checks the frames.
func (l *Logics) frames(ctx context.Context, to route, call func(context.Context, logic.Client) (*gannet.FramesReply, error)) (b []byte, err error) {
	err = l.calls.call(ctx, to, func(ctx context.Context, c logic.Client) error {
		reply, err := call(ctx, c)
		switch {
		case err != nil:
			return err
		case reply == nil:
			return errNoReply
		case reply.Status != gannet.OK:
			return meaning(reply.Status)
		case len(reply.Frames) > 4+protocol.MaxFrame:
			return fmt.Errorf("%w: frames of %d bytes", errAnswer, len(reply.Frames))
		}
		b = reply.Frames
		return nil
	})
	return b, err
}
