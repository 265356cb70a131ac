// Package conformance holds adapters to the guarantees of transfer's ports. An
// adapter's tests call it with a way to make a fresh one.
package conformance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// Put adds a record to the queue under test, as the log does once it is durable. The
// record is the caller's again when it returns, but for its blob. Records of a queue
// are put one after the other.
type Put func(record *hop.Record)

// Queue tests a transfer.Queue of at least two queues. Every record goes through its
// encoding on its way in, whether the adapter needs one or not; the marks are the
// adapter's.
func Queue(t *testing.T, open func(t *testing.T) (transfer.Queue, Put)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, q transfer.Queue, put Put)
	}{
		{"records come whole and in order, each queue by itself", wholeInOrder},
		{"what came before the follower waits for it", waits},
		{"Follow ends with its context", ends},
		{"a follower that takes over begins with the first record that is not done", resumes},
		{"done may come late, in any order, from any goroutine", doneLate},
		{"one call of take at a time, which may wait", oneAtATime},
		{"the bytes of a record stay as they are", bytesStay},
		{"a writer and followers that come and go", takeOvers},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, put := open(t)
			c.test(t, q, func(record *hop.Record) { put(travelled(t, record)) })
		})
	}
}

// travelled is the record as it is after its encoding.
func travelled(t *testing.T, record *hop.Record) *hop.Record {
	t.Helper()
	var again hop.Record
	if err := again.Decode(record.Append(nil)); err != nil {
		t.Fatal(err)
	}
	return &again
}

// record is number n of a queue. Its first entry has a frame by which it is known;
// there are more of other kinds, none in some records.
func record(queue, n int) *hop.Record {
	m := protocol.Message{
		Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: uint64(n) + 1, Sender: 1, Device: 10, ClientID: uint64(n) + 1,
		Content: protocol.ContentText, Body: fmt.Appendf(nil, "record %d of queue %d", n, queue),
	}
	r := &hop.Record{Queue: queue, Mark: uint64(n) + 1, Time: 1_700_000_000_000 + uint64(n), Blob: m.AppendFrame(nil)}
	r.Entries = append(r.Entries, hop.RecordEntry{
		Op: hop.OpMessage, Flags: hop.FlagSilent, Conversation: m.Conversation(), User: 1, Device: 10, Seq: m.Seq, N: 3, Own: 2,
		Frame: hop.Span{End: uint32(len(r.Blob))},
	})
	for i := range n % 3 {
		r.Entries = append(r.Entries, hop.RecordEntry{
			Op: hop.OpRead, Flags: hop.FlagCounted, Conversation: m.Conversation(), User: 2, Device: uint64(i), Seq: m.Seq, N: 4, Own: 1,
			Frame: hop.Span{Start: uint32(len(r.Blob)), End: uint32(len(r.Blob))},
		})
	}
	return r
}

func wholeInOrder(t *testing.T, q transfer.Queue, put Put) {
	a, b := follow(t, q, 0, doneAtOnce), follow(t, q, 1, doneAtOnce)
	for i := range 100 {
		put(record(i%2, i/2))
	}
	a.saw(0, 50)
	b.saw(0, 50)
}

func waits(t *testing.T, q transfer.Queue, put Put) {
	for i := range 10 {
		put(record(0, i))
	}
	f := follow(t, q, 0, doneAtOnce)
	f.saw(0, 10)
	put(record(0, 10))
	f.saw(0, 11)
}

func ends(t *testing.T, q transfer.Queue, put Put) {
	f := follow(t, q, 0, doneAtOnce)
	put(record(0, 0))
	f.saw(0, 1)
	f.end()
	put(record(0, 1))
	next := follow(t, q, 0, doneAtOnce)
	next.saw(1, 2)
	f.saw(0, 1)
}

func resumes(t *testing.T, q transfer.Queue, put Put) {
	first := follow(t, q, 0, func(n int, done func()) {
		if n < 3 || n == 5 {
			done()
		}
	})
	for i := range 10 {
		put(record(0, i))
	}
	first.saw(0, 10)
	first.end()
	put(record(0, 10))
	second := follow(t, q, 0, nil) // does nothing and ends
	second.sawFrom(3, 11, 5)
	second.end()
	third := follow(t, q, 0, doneAtOnce)
	third.sawFrom(3, 11, 5)
	put(record(0, 11))
	third.sawFrom(3, 12, 5)
	third.end()
	put(record(0, 12))
	follow(t, q, 0, doneAtOnce).saw(12, 13)
}

func doneLate(t *testing.T, q transfer.Queue, put Put) {
	dones := make(chan func(), 20)
	first := follow(t, q, 0, func(_ int, done func()) { dones <- done })
	for i := range 20 {
		put(record(0, i))
	}
	first.saw(0, 20)
	var list []func()
	for range 20 {
		list = append(list, <-dones)
	}
	first.elsewhere(func() {
		for i := 14; i >= 0; i-- { // all but the last five, the newest first
			list[i]()
		}
	})
	first.end()
	follow(t, q, 0, doneAtOnce).saw(15, 20)
}

func oneAtATime(t *testing.T, q transfer.Queue, put Put) {
	hold := make(chan struct{})
	f := follow(t, q, 0, func(n int, done func()) {
		if n == 0 {
			<-hold
		}
		done()
	})
	f.elsewhere(func() {
		go func() {
			for i := range 200 {
				put(record(0, i))
			}
		}()
		f.begun(0)
	})
	if n := f.count(); n != 0 {
		t.Errorf("%d records were taken while take waits with the first one", n)
	}
	close(hold)
	f.saw(0, 200)
}

func bytesStay(t *testing.T, q transfer.Queue, put Put) {
	f := follow(t, q, 0, doneAtOnce)
	const n = 300
	for i := range n {
		put(record(0, i))
	}
	f.saw(0, n)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, blob := range f.blobs {
		if string(blob) != string(record(0, i).Blob) {
			t.Fatalf("the bytes of record %d are others by now", i)
		}
	}
}

// takeOvers has followers take some records, do some of them at once, some later and
// some not at all, and end. Every record comes in the end, and to each follower they
// come in order.
func takeOvers(t *testing.T, q transfer.Queue, put Put) {
	const n = 2000
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range n {
			put(record(1, i))
		}
	}()
	random := rand.New(rand.NewPCG(1, 2))
	seen, isDone := make([]bool, n), make([]bool, n)
	for next := 0; next < n; {
		var late []func()
		most := next + 1 + random.IntN(300)
		f := follow(t, q, 1, func(i int, done func()) {
			switch what := random.IntN(3); {
			case i == n-1: // stays for the last follower
			case what == 0:
				isDone[i] = true
				done()
			case what == 1:
				late = append(late, func() { isDone[i] = true; done() })
			}
		})
		last := f.reached(min(most, n) - 1)
		f.end()
		if first := f.first(); first > next || !isDone[first] && first != next {
			t.Fatalf("a follower began with record %d, the first that is not done is %d", first, next)
		}
		for _, i := range f.numbers() {
			seen[i] = true
		}
		for _, done := range late {
			done()
		}
		for next < n && isDone[next] {
			next++
		}
		if last == n-1 { // everything has come: have it done
			f := follow(t, q, 1, func(i int, done func()) { isDone[i] = true; done() })
			f.reached(n - 1)
			f.end()
			next = n
		}
	}
	<-written
	for i, ok := range seen {
		if !ok || !isDone[i] {
			t.Fatalf("record %d: came %v, done %v", i, ok, isDone[i])
		}
	}
}

// errNoError says that Follow ended without saying why.
var errNoError = errors.New("it ended without an error")
