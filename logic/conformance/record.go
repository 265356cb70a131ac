package conformance

import (
	"bytes"
	"slices"
	"sync"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

var recordStories = []run{
	{"the record has what was applied, in order", recordHasApplied},
	{"nothing is published when nothing was applied", nothingApplied},
	{"acks that are written are in the record", recordHasAcks},
	{"records of concurrent calls come in the order of their seqs", recordsInOrder},
}

// publish is Setup.Publish: it looks whether the record is visible, and keeps it
// as it comes out of its encoding.
func (w *world) publish(record *hop.Record) {
	var pages []*logic.Page
	for _, e := range record.Entries {
		if e.Op == hop.OpMessage {
			pages = append(pages, &logic.Page{Conversation: e.Conversation, From: e.Seq, To: e.Seq, Limit: 1, Room: protocol.MaxFrame})
		}
	}
	if err := w.History.Pages(w.t.Context(), pages); err != nil {
		w.t.Errorf("a record is published, but nothing can be read: %v", err)
	}
	for _, p := range pages {
		if p.Err != nil || p.Count != 1 || p.Head < p.From {
			w.t.Errorf("seq %d of %v is published before it is visible: %+v", p.From, p.Conversation, p)
		}
	}
	encoded := record.Append(nil)
	var kept hop.Record
	if err := kept.Decode(encoded); err != nil || !sameRecord(&kept, record) {
		w.t.Errorf("the record came out of its encoding as %+v (%v), was %+v", kept, err, record)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[record.Queue] = append(w.records[record.Queue], &kept)
}

func sameRecord(a, b *hop.Record) bool {
	same := a.Queue == b.Queue && a.Mark == b.Mark && a.Time == b.Time && len(a.Entries) == len(b.Entries)
	for i := 0; same && i < len(a.Entries); i++ {
		x, y := a.Entries[i], b.Entries[i]
		same = bytes.Equal(a.Bytes(i), b.Bytes(i))
		x.Frame, y.Frame = hop.Span{}, hop.Span{}
		same = same && x == y
	}
	return same
}

// published gives the records of a queue so far.
func (w *world) published(queue int) []*hop.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.records[queue])
}

// checkRecords looks at all that a story has published: marks rise, each
// conversation's seqs come without a gap, frames are what they should be, and
// counts are those of the messages.
func (w *world) checkRecords() {
	w.t.Helper()
	all := make(map[protocol.Conversation][]said)
	for queue := range w.Queues {
		last := uint64(0)
		for _, r := range w.published(queue) {
			if r.Queue != queue || r.Mark <= last {
				w.t.Fatalf("a record of queue %d has mark %d after %d of queue %d", r.Queue, r.Mark, last, queue)
			}
			last = r.Mark
			for i := range r.Entries {
				e := &r.Entries[i]
				if w.queue(e.Conversation) != queue {
					w.t.Fatalf("%v was published in queue %d", e.Conversation, queue)
				}
				if e.Op == hop.OpMessage {
					all[e.Conversation] = append(all[e.Conversation], said{e.User, e.Flags&hop.FlagSilent != 0})
				}
				w.checkEntry(r, i, all[e.Conversation])
			}
		}
	}
}

// said is what counts of a message.
type said struct {
	user   uint64
	silent bool
}

// counts gives how many messages count, and how many of those are by the user.
func counts(messages []said, user uint64) (n, own uint64) {
	for _, m := range messages {
		if !m.silent {
			n++
			if m.user == user {
				own++
			}
		}
	}
	return n, own
}

// checkEntry holds an entry of a record against the messages of its conversation
// so far.
func (w *world) checkEntry(r *hop.Record, i int, messages []said) {
	w.t.Helper()
	e := &r.Entries[i]
	if e.Seq > uint64(len(messages)) {
		w.t.Fatalf("%+v is ahead of its conversation, which has %d messages", e, len(messages))
	}
	n, own := counts(messages[:e.Seq], e.User)
	switch e.Op {
	case hop.OpMessage:
		f, size, err := protocol.Split(r.Bytes(i), protocol.MaxFrame)
		var m protocol.Message
		if err != nil || size != e.Frame.Len() || f.Type != protocol.TypePush || m.Decode(f.Payload) != nil {
			w.t.Fatalf("the frame of %+v is no PUSH: %x", e, r.Bytes(i))
		}
		if m.Seq != e.Seq || m.Seq != uint64(len(messages)) || m.Sender != e.User || m.Device != e.Device || m.Conversation() != e.Conversation || m.Time == 0 {
			w.t.Fatalf("message %d of its conversation is %+v in entry %+v", len(messages), m, e)
		}
		if e.N != n || e.Own != own {
			w.t.Fatalf("seq %d of %v counts %d, own %d; want %d and %d", e.Seq, e.Conversation, e.N, e.Own, n, own)
		}
	case hop.OpRead:
		if counted := e.Flags&hop.FlagCounted != 0; e.Frame.Len() != 0 || counted && (e.N != n || e.Own != own) {
			w.t.Fatalf("a read cursor came as %+v; up to it count %d, own %d", e, n, own)
		}
	case hop.OpAck:
		if e.Frame.Len() != 0 {
			w.t.Fatalf("an ack came with a frame: %+v", e)
		}
	default:
		w.t.Fatalf("no queue carries %+v", e)
	}
}

// recorded gives the entries of a record without acks, which come when they like,
// and without where their frames are.
func recorded(r *hop.Record) (entries []hop.RecordEntry) {
	for _, e := range r.Entries {
		if e.Op != hop.OpAck {
			e.Frame = hop.Span{}
			entries = append(entries, e)
		}
	}
	return entries
}

func recordHasApplied(w *world) {
	c := direct(1, 2)
	first := w.send(1, 1, 2, 1)
	e := w.apply(new(batch).
		send(1, 1, 2, 1, "hello").  // repeated
		send(2, 1, 1, 5, "second"). // applied
		read(1, 1, 2, 9).           // applied, up to the head
		send(1, 1, 2, 2, "third").  // applied
		send(2, 1, 1, 5, "second"). // repeated
		read(1, 2, 2, 1).           // nothing rises
		read(2, 1, 1, 1).           // applied, below the head
		silent(2, 1, 1, 6))         // applied
	w.wantRepeated(e[0], first)
	w.wantNew(e[1], 2)
	w.wantNew(e[3], 3)
	w.wantRepeated(e[4], e[1])
	w.wantNew(e[7], 4)

	records := w.published(w.queue(c))
	if len(records) != 2 {
		w.t.Fatalf("%d records, want one for each batch", len(records))
	}
	want := []hop.RecordEntry{
		{Op: hop.OpMessage, Conversation: c, User: 2, Device: 1, Seq: 2, N: 2, Own: 1},
		{Op: hop.OpRead, Conversation: c, User: 1, Device: 1, Seq: 2, Flags: hop.FlagCounted, N: 2, Own: 1},
		{Op: hop.OpMessage, Conversation: c, User: 1, Device: 1, Seq: 3, N: 3, Own: 2},
		{Op: hop.OpRead, Conversation: c, User: 2, Device: 1, Seq: 1},
		{Op: hop.OpMessage, Conversation: c, User: 2, Device: 1, Seq: 4, N: 3, Own: 1, Flags: hop.FlagSilent},
	}
	got := recorded(records[1])
	if len(got) == len(want) && got[3].Flags == hop.FlagCounted { // an adapter may know the counts below the head too
		want[3].Flags, want[3].N, want[3].Own = hop.FlagCounted, 1, 0
	}
	if !slices.Equal(got, want) {
		w.t.Fatalf("the record has\n%+v, want\n%+v", got, want)
	}
	if records[1].Time != startTime {
		w.t.Fatalf("the record's time is %d, want that of the clock, %d", records[1].Time, startTime)
	}
	var frames []byte
	for i := range records[1].Entries {
		frames = append(frames, records[1].Bytes(i)...)
	}
	message := func(peer, seq, sender, id uint64, body string) []byte {
		return protocol.Message{Target: to(peer), Seq: seq, Time: startTime, Sender: sender, Device: 1, ClientID: id, Content: protocol.ContentText, Body: []byte(body)}.AppendFrame(nil)
	}
	if want := slices.Concat(message(1, 2, 2, 5, "second"), message(2, 3, 1, 2, "third"), message(1, 4, 2, 6, "silent")); !bytes.Equal(frames, want) {
		w.t.Fatalf("the frames are\n%x, want\n%x", frames, want)
	}
}

func nothingApplied(w *world) {
	first := w.send(1, 1, 2, 1)
	e := w.apply(new(batch).send(1, 1, 2, 1, "hello").ack(1, 1, 2, 5))
	w.wantRepeated(e[0], first)
	w.wantCursors(w.read(3, 4, 5), cursors{outcome: logic.Repeated})
	total := 0
	for queue := range w.Queues {
		total += len(w.published(queue))
	}
	if total != 1 {
		w.t.Fatalf("%d records, want that of the first batch alone", total)
	}
}

func recordHasAcks(w *world) {
	peers := neighbours(2)
	w.fill(1, 1, peers[0], 1, 10)
	for seq := uint64(1); seq <= 7; seq++ {
		w.ack(peers[0], 5, 1, seq)
	}
	w.clock.Add(1000)
	w.send(1, 1, peers[1], 1)
	records := w.published(w.queue(direct(1, peers[0])))
	want := hop.RecordEntry{Op: hop.OpAck, Conversation: direct(1, peers[0]), User: peers[0], Device: 5, Seq: 7}
	found := 0
	for _, r := range records {
		for _, e := range r.Entries {
			e.Frame = hop.Span{}
			if e == want {
				found++
			}
		}
	}
	if found != 1 {
		w.t.Fatalf("%+v was published %d times, want once", want, found)
	}
}

func recordsInOrder(w *world) {
	const devices, rounds = 8, 30
	var wg sync.WaitGroup
	for device := uint64(1); device <= devices; device++ {
		wg.Go(func() {
			for id := uint64(1); id <= 2*rounds; id += 2 {
				if err := w.try(w.t.Context(), new(batch).send(1, device, 2, id, "one").send(1, device, 2, id+1, "two")); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	messages := 0
	for _, r := range w.published(w.queue(direct(1, 2))) {
		messages += len(recorded(r)) // checkRecords looks at their order
	}
	if messages != devices*rounds*2 {
		w.t.Fatalf("%d messages were published, want %d", messages, devices*rounds*2)
	}
}
