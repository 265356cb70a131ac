package logic

import (
	"context"
	"fmt"

	"gannet/internal/hop"
	"gannet/protocol"
)

// receiptSize is the length of a RECEIPT frame.
var receiptSize = len(protocol.Receipt{}.AppendFrame(nil))

// sendReceipts sends a RECEIPT for each cursor of a user that rose. Receipts do not go through the
// queue; the next SYNC tells what was lost.
func (f *forwarding) sendReceipts(ctx context.Context) {
	if f.batch.Err != nil {
		return
	}
	n := 0
	for i := range f.entries {
		if f.entries[i].receipted() {
			n++
		}
	}
	if n == 0 {
		return
	}
	r := &f.receipt
	r.Queue, r.Entries, r.Blob = f.batch.Queue, r.Entries[:0], make([]byte, 0, n*receiptSize)
	for i := range f.entries {
		e := &f.entries[i]
		if !e.receipted() {
			continue
		}
		start := len(r.Blob)
		r.Blob = protocol.Receipt{
			Target: e.Conversation.Target(e.User), Delivered: e.Delivered, Read: e.Read, User: e.User, Device: e.Device,
		}.AppendFrame(r.Blob)
		r.Entries = append(r.Entries, hop.RecordEntry{
			Op: hop.OpReceipt, Conversation: e.Conversation, User: e.User, Device: e.Device, Seq: e.Seq,
			Frame: hop.Span{Start: uint32(start), End: uint32(len(r.Blob))},
		})
	}
	s := f.service
	if err := s.tell(ctx, r); err != nil && s.troubles.receipt.Note() {
		s.Logger.Warn("logic: receipts did not go out", "queue", r.Queue, "receipts", n, "error", err)
	}
	r.Blob = nil
}

// tell calls the port Receipts. It turns a panic into an error, because the cursors of the receipts
// are durable and the answers to their frames must still be returned.
func (s *Service) tell(ctx context.Context, r *hop.Record) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("logic: sending receipts panicked: %v", cause)
		}
	}()
	return s.Receipts.Receipts(ctx, r)
}

// receipted says whether the entry raised a cursor of a user.
func (e *Entry) receipted() bool { return e.Rose && e.Outcome == Applied && e.Op != hop.OpMessage }
