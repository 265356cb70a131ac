package logic_test

import (
	"context"
	"errors"
	"testing"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// told gives the receipts so far, and forgets them.
func (r *rig) told() (all []protocol.Receipt) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.receipts {
		for j := range r.receipts[i].Entries {
			e := &r.receipts[i].Entries[j]
			f := one(r.t, r.receipts[i].Bytes(j))
			var m protocol.Receipt
			if f.Type != protocol.TypeReceipt || f.Request != 0 || m.Decode(f.Payload) != nil {
				r.t.Fatalf("a receipt is %#x", f.Type)
			}
			if e.Op != hop.OpReceipt || e.Conversation != m.Conversation() || e.User != m.User || e.Device != m.Device {
				r.t.Fatalf("receipt %+v is routed by %+v", m, e)
			}
			all = append(all, m)
		}
	}
	r.receipts = nil
	return all
}

func (r *rig) wantReceipts(want ...protocol.Receipt) {
	r.t.Helper()
	got := r.told()
	if len(got) != len(want) {
		r.t.Fatalf("receipts %+v, want %+v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			r.t.Errorf("receipt %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}

// All PUSHACKs of a device in a batch are one step, and so are all READs; a receipt
// goes out for each step in which a cursor of the user rose.
func TestCursorsOfABatchAreOneReceipt(t *testing.T) {
	r := newRig(t, nil)
	for id := uint64(1); id <= 9; id++ {
		r.forward(send(1, 1, 2, id, "hello"))
	}
	r.wantReceipts() // sending is no news of a cursor
	r.forward(
		pushAck(2, 1, 1, 3, 0), read(2, 1, 1, 2, 0), pushAck(2, 1, 1, 7, 0), pushAck(2, 1, 1, 5, 0),
		pushAck(2, 2, 1, 6, 0), // another device: nothing rises any more
		read(2, 2, 1, 4, 0),    // but this does
		pushAck(2, 1, 3, 1, 0)) // an empty conversation
	r.wantReceipts(
		protocol.Receipt{Target: to(1), Delivered: 7, User: 2, Device: 1},
		protocol.Receipt{Target: to(1), Delivered: 7, Read: 2, User: 2, Device: 1},
		protocol.Receipt{Target: to(1), Delivered: 7, Read: 4, User: 2, Device: 2})
	if n := len(r.receipts); n != 0 {
		t.Errorf("%d batches of receipts are left", n)
	}
}

// Cursors that did not rise are told to nobody.
func TestReceiptsOnlyWhenACursorRose(t *testing.T) {
	r := newRig(t, nil)
	r.forward(send(1, 1, 2, 1, "a"), send(1, 1, 2, 2, "b"))
	r.forward(pushAck(2, 1, 1, 2, 0))
	r.wantReceipts(protocol.Receipt{Target: to(1), Delivered: 2, User: 2, Device: 1})
	r.forward(pushAck(2, 1, 1, 2, 0), pushAck(2, 1, 1, 1, 0)) // again, and older
	r.forward(pushAck(2, 3, 1, 2, 0))                         // another device of the same user
	r.forward(send(1, 1, 2, 2, "b"))                          // a retry
	r.wantReceipts()
	r.forward(read(2, 1, 1, 1, 0))
	r.wantReceipts(protocol.Receipt{Target: to(1), Delivered: 2, Read: 1, User: 2, Device: 1})
	r.forward(read(2, 3, 1, 1, 0))
	r.wantReceipts()
}

// READ is delivered, too, and no cursor passes the head.
func TestReadIsDelivered(t *testing.T) {
	r := newRig(t, nil)
	r.forward(send(1, 1, 2, 1, "hello"))
	r.forward(read(2, 1, 1, 50, 0))
	r.wantReceipts(protocol.Receipt{Target: to(1), Delivered: 1, Read: 1, User: 2, Device: 1})
}

// The receipts of a batch go out as one record of its queue.
func TestReceiptsOfABatchAreOneRecord(t *testing.T) {
	r := newRig(t, nil)
	r.forward(send(1, 1, 2, 1, "a"), send(1, 1, 3, 1, "b"))
	r.forward(read(2, 1, 1, 1, 0), read(3, 1, 1, 1, 0))
	if len(r.receipts) != 1 || len(r.receipts[0].Entries) != 2 || r.receipts[0].Queue != 0 {
		t.Fatalf("receipts %+v", r.receipts)
	}
	r.wantReceipts(
		protocol.Receipt{Target: to(1), Delivered: 1, Read: 1, User: 2, Device: 1},
		protocol.Receipt{Target: to(1), Delivered: 1, Read: 1, User: 3, Device: 1})
}

// A batch that failed has no receipts, even where its entries look as if cursors had
// risen.
func TestNoReceiptsAfterAFailure(t *testing.T) {
	r := newRig(t, func(c *logic.Config) {
		c.Log = logFunc(func(batches []*logic.Batch) error {
			for i := range batches[0].Entries {
				e := &batches[0].Entries[i]
				e.Outcome, e.Rose, e.Delivered = logic.Applied, true, 5
			}
			batches[0].Err = errors.New("the disk is gone")
			return nil
		})
	})
	answers := r.forward(pushAck(2, 1, 1, 5, 3))
	wantError(t, answers[0].frame, 3, protocol.CodeUnavailable)
	r.wantReceipts()
}

// refusing is a Receipts port that does not answer.
type refusing struct{}

func (refusing) Receipts(context.Context, *hop.Record) error { return errors.New("no transfer there") }

// panicking is a Receipts port with a bug.
type panicking struct{}

func (panicking) Receipts(context.Context, *hop.Record) error { panic("a bug of transfer") }

// Receipts that cannot be told are counted, and change nothing for who acked.
func TestReceiptsThatDoNotGoOut(t *testing.T) {
	for name, port := range map[string]logic.Receipts{"an error": refusing{}, "a panic": panicking{}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *logic.Config) { c.Receipts = port })
			r.forward(send(1, 1, 2, 1, "hello"))
			for i := uint32(1); i <= 2; i++ {
				answers := r.forward(read(2, 1, 1, 1, i), send(1, 1, 2, uint64(i)+1, "more"))
				if len(answers) != 2 || answers[0].frame.Type != protocol.TypeDone || answers[1].frame.Type != protocol.TypeSendAck {
					t.Fatalf("answers %+v", answers)
				}
			}
			wantStat(t, r.Service, "failed.receipts", 1) // the second READ raised nothing
		})
	}
}
