package conformance

import (
	"sync"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// Tellers is an adapter of logic.Receipts with devices that it reaches.
type Tellers struct {
	Receipts logic.Receipts

	// Connect logs a device in. next waits for the next RECEIPT that it gets.
	Connect func(user, device uint64) (next func() protocol.Receipt)

	// Hang has whom the adapter hands receipts to take none until release is called.
	Hang func() (release func())

	// Close ends the adapter as its process does when it stops.
	Close func()
}

// Receipts holds an adapter of logic.Receipts to its guarantees.
func Receipts(t *testing.T, open func(t *testing.T) Tellers) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Tellers)
	}{
		{"to the members' devices, but for the one that each names", receiptsToMembers},
		{"the record is the caller's again, its bytes stay as they are", receiptsRecordIsLent},
		{"receipts of one queue come in order", receiptsInOrder},
		{"who hangs holds up no call", receiptsHoldUpNobody},
		{"closing under calls", receiptsClosed},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// receiptOf is that a device of the user has the conversation with the other up to seq.
func receiptOf(user, device, other, seq uint64) protocol.Receipt {
	return protocol.Receipt{Target: to(other), Delivered: seq, Read: seq - 1, User: user, Device: device}
}

// receiptRecord makes a record of receipts, as logic does.
func receiptRecord(list ...protocol.Receipt) *hop.Record {
	r := &hop.Record{Queue: 0}
	for _, m := range list {
		start := uint32(len(r.Blob))
		r.Blob = m.AppendFrame(r.Blob)
		r.Entries = append(r.Entries, hop.RecordEntry{
			Op: hop.OpReceipt, Conversation: m.Conversation(), User: m.User, Device: m.Device, Seq: m.Delivered,
			Frame: hop.Span{Start: start, End: uint32(len(r.Blob))},
		})
	}
	return r
}

// tell hands a record over, which has to be taken.
func (w Tellers) tell(t *testing.T, list ...protocol.Receipt) {
	t.Helper()
	if err := w.Receipts.Receipts(t.Context(), receiptRecord(list...)); err != nil {
		t.Fatalf("receipts: %v", err)
	}
}

// wantReceipts checks what comes next to a device.
func wantReceipts(t *testing.T, next func() protocol.Receipt, want ...protocol.Receipt) {
	t.Helper()
	for _, m := range want {
		if got := next(); got != m {
			t.Fatalf("receipt %+v came, want %+v", got, m)
		}
	}
}

// receiptsToMembers ends with a receipt for all, so that one too many would come before.
func receiptsToMembers(t *testing.T, w Tellers) {
	own, second, peer, stranger := w.Connect(1, 10), w.Connect(1, 11), w.Connect(2, 10), w.Connect(3, 10)
	list := []protocol.Receipt{
		receiptOf(1, 10, 2, 5), // by own
		receiptOf(2, 10, 1, 7), // by peer
		receiptOf(3, 99, 2, 9), // by another device of the stranger
		receiptOf(1, 99, 1, 3), // to oneself
	}
	w.tell(t, list...)
	last := []protocol.Receipt{receiptOf(1, 99, 2, 50), receiptOf(3, 99, 3, 50)}
	w.tell(t, last...)
	wantReceipts(t, own, list[1], list[3], last[0])
	wantReceipts(t, second, list[0], list[1], list[3], last[0])
	wantReceipts(t, peer, list[0], list[2], last[0])
	wantReceipts(t, stranger, list[2], last[1])
}

func receiptsRecordIsLent(t *testing.T, w Tellers) {
	peer := w.Connect(2, 10)
	entries := make([]hop.RecordEntry, 0, 8)
	const n = 200
	for seq := uint64(1); seq <= n; seq++ {
		r := receiptRecord(receiptOf(1, 10, 2, seq))
		r.Entries = append(entries[:0], r.Entries...)
		if err := w.Receipts.Receipts(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		clear(r.Entries)
		*r = hop.Record{Queue: -1}
	}
	for seq := uint64(1); seq <= n; seq++ {
		wantReceipts(t, peer, receiptOf(1, 10, 2, seq))
	}
}

func receiptsInOrder(t *testing.T, w Tellers) {
	peer := w.Connect(2, 10)
	const rounds, each = 20, 30
	seq := uint64(0)
	for range rounds {
		var list []protocol.Receipt
		for range each {
			seq++
			list = append(list, receiptOf(1, 10, 2, seq))
		}
		w.tell(t, list...)
	}
	for seq := uint64(1); seq <= rounds*each; seq++ {
		wantReceipts(t, peer, receiptOf(1, 10, 2, seq))
	}
}

func receiptsHoldUpNobody(t *testing.T, w Tellers) {
	peer := w.Connect(2, 10)
	release := w.Hang()
	over := make(chan struct{})
	go func() {
		defer close(over)
		for seq := uint64(1); seq <= 5000; seq++ { // some of them may be dropped
			_ = w.Receipts.Receipts(t.Context(), receiptRecord(receiptOf(1, 10, 2, seq)))
		}
	}()
	select {
	case <-over:
	case <-time.After(patience):
		t.Fatal("calls wait for somebody who hangs")
	}
	release()
	stop := make(chan struct{})
	var later sync.WaitGroup
	later.Go(func() {
		for seq := uint64(1_000_000); ; seq++ {
			_ = w.Receipts.Receipts(t.Context(), receiptRecord(receiptOf(1, 10, 2, seq)))
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	for peer().Delivered < 1_000_000 { // what was not dropped, then later ones
	}
	close(stop)
	later.Wait()
}

func receiptsClosed(t *testing.T, w Tellers) {
	peer := w.Connect(2, 10)
	w.tell(t, receiptOf(1, 10, 2, 1))
	wantReceipts(t, peer, receiptOf(1, 10, 2, 1))
	var callers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		callers.Go(func() {
			for {
				_ = w.Receipts.Receipts(t.Context(), receiptRecord(receiptOf(1, 10, 2, 2)))
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	w.Close()
	close(stop)
	callers.Wait()
	_ = w.Receipts.Receipts(t.Context(), receiptRecord(receiptOf(1, 10, 2, 3))) // tells nobody
}
