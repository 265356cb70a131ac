package rpc

import (
	"errors"
	"reflect"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// receiptsStage is a client and a transfer node.
type receiptsStage struct {
	*script
	registry *registry
	server   *Server
	client   *Receipts
}

func newReceiptsStage(t testing.TB) *receiptsStage {
	t.Helper()
	st := &receiptsStage{script: newScript(), registry: newRegistry()}
	log, _ := newLog()
	st.client = NewReceipts(st.registry, log)
	st.mu = &st.client.calls.peers.mu
	st.server = stopping(t, ServeTransfer(listen(t), st.script, config()))
	st.registry.put(queues, Node{ID: self, Address: st.server.Address()})
	t.Cleanup(st.client.Close)
	return st
}

// receiptsOf makes a record of one receipt, which says seq.
func receiptsOf(queue int, seq uint64) *hop.Record {
	frame := protocol.Receipt{User: 1, Delivered: seq}.AppendFrame(nil)
	return &hop.Record{Queue: queue, Time: seq, Blob: frame, Entries: []hop.RecordEntry{{
		Op: hop.OpReceipt, Conversation: protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}, User: 1, Seq: seq,
		Frame: hop.Span{End: uint32(len(frame))},
	}}}
}

// Nobody waits for a transfer node: what comes while it works goes in the next call, in
// order.
func TestReceipts(t *testing.T) {
	const n = 100
	st := newReceiptsStage(t)
	st.client.calls.try = callTimeout // on a machine that is busy too
	st.entered, st.gate = make(chan struct{}), make(chan struct{})
	calls := counted(st.server.Stats, "calls")
	var want []hop.Record
	send := func(seq uint64) {
		record := receiptsOf(int(seq)%queues, seq)
		if err := st.client.Receipts(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		want = append(want, *record)
		record.Entries = nil // the caller's again
	}
	want = nil
	send(1)
	<-st.entered
	for seq := uint64(2); seq <= n; seq++ {
		send(seq)
	}
	st.gate <- struct{}{}
	for range n - 1 {
		<-st.entered
		st.gate <- struct{}{}
	}
	st.client.Close()
	if len(st.records) != n || calls() != 2 {
		t.Fatalf("%d records came in %d calls", len(st.records), calls())
	}
	for i, r := range st.records {
		want[i].Entries = receiptsOf(0, uint64(i+1)).Entries
		if !reflect.DeepEqual(r, want[i]) {
			t.Errorf("record %d arrived as %+v", i, r)
		}
	}
	if err := st.client.Receipts(t.Context(), receiptsOf(0, 1)); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// What a node that hangs cannot take is dropped and counted.
func TestReceiptsAreDropped(t *testing.T) {
	st := newReceiptsStage(t)
	st.entered, st.gate = make(chan struct{}, 10_000), make(chan struct{})
	record := receiptsOf(0, 1)
	record.Blob = append(record.Blob, make([]byte, 10_000)...)
	record.Entries[0].Frame.End = uint32(len(record.Blob))
	if err := st.client.Receipts(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	<-st.entered
	taken := 0
	for st.client.Receipts(t.Context(), record) == nil {
		taken++
	}
	if n := st.client.Stats()["drop.full"]; n != 1 || taken*len(record.Blob) > receiptBytes || taken < receiptBytes/len(record.Blob)/2 {
		t.Errorf("%d were dropped after %d", n, taken)
	}
	close(st.gate)
	st.registry.change(func(r *registry) { clear(r.of) })
	if err := st.client.Receipts(t.Context(), record); !errors.Is(err, errNobody) || st.client.Stats()["drop.full"] != 2 {
		t.Errorf("with no transfer node: %v", err)
	}
}

// What is sent again is what was sent, whatever came meanwhile.
func TestReceiptsAgain(t *testing.T) {
	st := newReceiptsStage(t)
	st.client.calls.try = callTimeout // on a machine that is busy too
	st.entered, st.gate, st.panics = make(chan struct{}), make(chan struct{}), true
	for seq := uint64(1); seq <= 2; seq++ {
		if err := st.client.Receipts(t.Context(), receiptsOf(0, seq)); err != nil {
			t.Fatal(err)
		}
		if seq == 1 {
			<-st.entered
		}
	}
	st.gate <- struct{}{} // the call of the first panics
	<-st.entered
	st.mu.Lock()
	st.panics = false
	st.mu.Unlock()
	st.gate <- struct{}{}
	<-st.entered
	st.gate <- struct{}{}
	st.client.Close()
	for i, seq := range []uint64{1, 1, 2} {
		if got := st.records[i].Time; got != seq {
			t.Errorf("record %d is %d, want %d", i, got, seq)
		}
	}
}
