package embedded

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// randomRun gives messages as a ledger hands them over, whose last seq is seq.
func randomRun(r *rand.Rand, seq uint64, n int) []ledger.Message {
	list := make([]ledger.Message, n)
	for i := range list {
		at := seq - uint64(n-1-i)
		m := protocol.Message{
			Target: to(r.Uint64N(3)), Seq: at, Time: r.Uint64() >> r.IntN(64), Sender: r.Uint64N(3), Device: r.Uint64N(2) + 1,
			ClientID: r.Uint64() >> r.IntN(64), Content: protocol.Content(r.IntN(256)), Body: make([]byte, r.IntN(1+300>>r.IntN(9))),
		}
		for j := range m.Body {
			m.Body[j] = byte(r.Uint32())
		}
		count := r.Uint64N(at + 1)
		list[i] = ledger.Message{Seq: at, Previous: r.Uint64N(at), Count: count, Own: r.Uint64N(count + 1), Payload: m.AppendPayload(nil)}
	}
	return list
}

// runOf gives the value of a run.
func runOf(t testing.TB, messages []ledger.Message, stamp uint64) []byte {
	t.Helper()
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem(), Logger: logger{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b := db.NewBatch()
	defer b.Close()
	var w runWriter
	for i := range messages {
		if _, err := w.add(&messages[i]); err != nil {
			t.Fatal(err)
		}
	}
	w.put(b, &place{}, messages[len(messages)-1].Seq, stamp)
	written := b.Reader()
	_, key, value, ok, err := written.Next()
	if !ok || err != nil || keySeq(key) != messages[len(messages)-1].Seq {
		t.Fatalf("the batch has key %x, %v, %v", key, ok, err)
	}
	return bytes.Clone(value)
}

// TestRun: what is read from a run is what was put in, and a run that lacks its end,
// wherever it is cut, is known as damaged.
func TestRun(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var reader runReader
	for range 100 {
		n := 1 + r.IntN(20)
		messages, stamp := randomRun(r, uint64(n)+r.Uint64()>>(1+r.IntN(62)), n), r.Uint64()
		last := messages[n-1].Seq
		value := runOf(t, messages, stamp)
		if err := reader.read(last, value); err != nil || len(reader.messages) != n {
			t.Fatalf("a run of %d messages is read as %d, %v", n, len(reader.messages), err)
		}
		for i, m := range reader.messages {
			want := messages[i]
			got := ledger.Message{Seq: m.Seq, Previous: m.links.previous, Count: m.links.count, Own: m.links.own, Payload: m.AppendPayload(nil)}
			if !reflect.DeepEqual(got, want) || m.links.stamp != stamp {
				t.Fatalf("message %d of %d is read as %+v with stamp %d, want %+v with %d", i, n, got, m.links.stamp, want, stamp)
			}
		}
		for cut := range value {
			if reader.read(last, value[:cut]) == nil {
				t.Fatalf("%d of %d bytes count as a whole run", cut, len(value))
			}
		}
	}
}

// TestRunLaterFields: fields that a later version adds to a message are passed over.
func TestRunLaterFields(t *testing.T) {
	messages := randomRun(rand.New(rand.NewPCG(3, 4)), 1, 1)
	value := runOf(t, messages, 9)
	if value[2] > 126 {
		t.Fatal("the size of the message takes more than a byte")
	}
	value[2]++
	var r runReader
	if err := r.read(1, append(value, 0xff)); err != nil || !bytes.Equal(r.messages[0].AppendPayload(nil), messages[0].Payload) {
		t.Fatalf("with a byte behind its body a message is read as %+v, %v", r.messages, err)
	}
}

// FuzzRun: no bytes make the reader panic or take in more than they have.
func FuzzRun(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 5 {
		f.Add(uint64(100), runOf(f, randomRun(r, 100, n+1), 7))
	}
	var reader runReader
	f.Fuzz(func(t *testing.T, seq uint64, value []byte) {
		if reader.read(seq, value) != nil {
			return
		}
		size := 0
		for i, m := range reader.messages {
			size += len(m.Body)
			if l := m.links; m.Seq != seq-uint64(len(reader.messages)-1-i) || l.previous >= m.Seq || l.count > m.Seq || l.own > l.count {
				t.Fatalf("message %d of %d under key %d is %+v", i, len(reader.messages), seq, m)
			}
		}
		if len(reader.messages) == 0 || size > len(value) {
			t.Fatalf("%d bytes gave %d messages with %d bytes", len(value), len(reader.messages), size)
		}
	})
}

// TestBadFrame: a batch with a message that cannot be stored never happened, and the
// next one is carried out.
func TestBadFrame(t *testing.T) {
	s := mustOpen(t, Options{Queues: 1, FS: vfs.NewMem()})
	mustSend(t, s, 1, 1, 2, 1)
	b := new(entries).send(1, 1, 2, 2).send(1, 1, 2, 3)
	b.Blob[b.Entries[1].Frame.Start+protocol.HeaderSize+bodyLengthAt]++ // longer than it is
	if err := b.applyTo(t, s); err == nil || b.Entries[0].Outcome != logic.Unknown {
		t.Fatalf("a batch with a broken message gives %v and %+v", err, b.Entries[0])
	}
	if e := mustSend(t, s, 1, 1, 2, 2); e.Outcome != logic.Applied || e.Seq != 2 {
		t.Fatalf("the next one came to %+v, want seq 2", e)
	}
}

// bodyLengthAt is where the last byte of the body's length lies in an encoded Message.
const bodyLengthAt = 53
