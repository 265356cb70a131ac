package transfer_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
)

// spoiled gives a message whose entry or frame was changed.
func spoiled(change func(*entry)) entry {
	e := message(1, 10, 2, "spoiled")
	change(&e)
	return e
}

// What cannot be read is counted and kept where it can be seen, and holds up neither
// the other entries of its record nor its queue.
func TestWhatCannotBeRead(t *testing.T) {
	group := protocol.Conversation{Kind: protocol.KindGroup, A: 5}
	for name, c := range map[string]struct {
		reason string
		entry  entry
	}{
		"no operation":                {"op", spoiled(func(e *entry) { e.Op = 0 })},
		"an operation of the future":  {"op", spoiled(func(e *entry) { e.Op = 99 })},
		"bytes that are no frame":     {"frame", spoiled(func(e *entry) { e.frame = []byte("this is no frame at all") })},
		"no bytes":                    {"frame", spoiled(func(e *entry) { e.frame = nil })},
		"half a frame":                {"frame", spoiled(func(e *entry) { e.frame = e.frame[:len(e.frame)-1] })},
		"more than a frame":           {"frame", spoiled(func(e *entry) { e.frame = append(e.frame, 0) })},
		"two frames":                  {"frame", spoiled(func(e *entry) { e.frame = append(e.frame, e.frame...) })},
		"a frame of another type":     {"frame", spoiled(func(e *entry) { e.frame = protocol.AppendEmpty(nil, protocol.TypePing, 0) })},
		"a receipt for a message":     {"frame", spoiled(func(e *entry) { e.frame = receipt(1, 10, 2).frame })},
		"a message for a receipt":     {"frame", spoiled(func(e *entry) { e.Op = hop.OpReceipt })},
		"a length over every limit":   {"frame", spoiled(func(e *entry) { e.frame[0] = 0xff })},
		"a group":                     {"conversation", spoiled(func(e *entry) { e.Conversation = group })},
		"everyone":                    {"conversation", spoiled(func(e *entry) { e.Conversation = protocol.Conversation{Kind: protocol.KindBroadcast} })},
		"no kind of conversation":     {"conversation", spoiled(func(e *entry) { e.Conversation.Kind = 0 })},
		"a kind of the future":        {"conversation", spoiled(func(e *entry) { e.Conversation.Kind = 77 })},
		"a conversation of two zeros": {"conversation", spoiled(func(e *entry) { e.Conversation.A, e.Conversation.B = 0, 0 })},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pair(t)
				mark := s.queue.put(1, message(1, 10, 2, "before it"), c.entry, message(1, 10, 2, "behind it"))
				s.queue.put(1, message(1, 10, 2, "after it"))
				synctest.Wait()
				s.got(7, 102, "before it", "behind it", "after it")
				s.stat("unreadable."+c.reason, 1)
				s.stat("frames", 3)
				s.queue.allDone(t)
				list := s.server.Unreadable()
				if len(list) != 1 {
					t.Fatalf("%d entries are kept", len(list))
				}
				sample := c.entry.frame[:min(len(c.entry.frame), 128)]
				if got := list[0]; got.Queue != 1 || got.Mark != mark || got.Entry != 1 || got.Reason != c.reason ||
					got.Time.IsZero() || !bytes.Equal(got.Sample, sample) {
					t.Errorf("kept %+v", got)
				}
				if n := s.lines.with("reason=" + c.reason); n != 1 {
					t.Errorf("%d lines", n)
				}
			})
		})
	}
}

func TestBoundsOutsideTheRecord(t *testing.T) {
	for name, span := range map[string]hop.Span{
		"an end before the start":    {Start: 9, End: 8},
		"an end outside":             {Start: 0, End: 1 << 20},
		"a start and an end outside": {Start: 1<<32 - 2, End: 1<<32 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := pair(t)
				r := record(0, 1, message(1, 10, 2, "before it"), message(1, 10, 2, "spoiled"), message(1, 10, 2, "behind it"))
				r.Entries[1].Frame = span
				s.queue.mark = 1
				s.queue.feeds[0] <- r
				synctest.Wait()
				s.got(7, 102, "before it", "behind it")
				s.stat("unreadable.bounds", 1)
				s.queue.allDone(t)
				if list := s.server.Unreadable(); len(list) != 1 || len(list[0].Sample) != 0 {
					t.Errorf("kept %+v", list)
				}
			})
		})
	}
}

// Bytes of the queue that are no record.
func TestRecordThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		raw := []byte(strings.Repeat("no record ", 100))
		s.queue.mark = 1
		s.queue.feeds[0] <- &hop.Record{Queue: 0, Mark: 1, Blob: raw}
		s.queue.put(0, message(1, 10, 2, "after it"))
		synctest.Wait()
		s.got(7, 102, "after it")
		s.stat("unreadable.record", 1)
		s.queue.allDone(t)
		list := s.server.Unreadable()
		if len(list) != 1 || list[0].Entry != -1 || list[0].Mark != 1 || !bytes.Equal(list[0].Sample, raw[:128]) {
			t.Errorf("kept %+v", list)
		}
	})
}

// However much cannot be read, a bounded number is kept, the newest, and one line a
// second is logged for each reason.
func TestUnreadableIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pair(t)
		const n = 10 * transfer.MaxUnreadable
		for range n {
			s.queue.put(0, spoiled(func(e *entry) { e.Op = 99 }), spoiled(func(e *entry) { e.Conversation.Kind = 9 }))
			time.Sleep(5 * time.Millisecond)
		}
		synctest.Wait()
		s.stat("unreadable.op", n)
		s.stat("unreadable.conversation", n)
		list := s.server.Unreadable()
		if len(list) != transfer.MaxUnreadable {
			t.Fatalf("%d are kept", len(list))
		}
		for i, x := range list {
			if want := n - uint64(len(list)-1-i)/2; x.Mark != want || x.Entry != i%2 {
				t.Fatalf("number %d is entry %d of record %d, want %d of %d", i, x.Entry, x.Mark, i%2, want)
			}
		}
		seconds := n * 5 / 1000
		for _, reason := range []string{"op", "conversation"} {
			if lines := s.lines.with(fmt.Sprintf("reason=%s", reason)); lines < seconds || lines > seconds+1 {
				t.Errorf("%d lines for %s in %d s", lines, reason, seconds)
			}
		}
	})
}
