package embedded

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic"
)

// record is one that does not have the form in which it was written.
type record struct {
	name   string
	key    []byte
	damage func(value []byte) []byte
	paged  bool // a page that has the message is an error as well
}

// recordCases are damaged records of the conversation of users 1 and 2.
func recordCases() (cases []damageCase) {
	p := placeOf(direct(1, 2))
	cut := func(value []byte) []byte { return value[:len(value)-1] }
	const head = 1 + 1 // count and stamp, in front of the size of the only message
	for _, r := range []record{
		{"a run that is cut", messageKey(&p, 70), cut, true},
		{"a run without a byte", messageKey(&p, 70), func([]byte) []byte { return nil }, true},
		{"a run without messages", messageKey(&p, 70), func(value []byte) []byte { return append([]byte{0}, value[1:2]...) }, true},
		{"a run of more messages than there are", messageKey(&p, 70), func(value []byte) []byte { return append([]byte{71}, value[1:]...) }, true},
		{"a run of more messages than it has", messageKey(&p, 70), func(value []byte) []byte { return append([]byte{2}, value[1:]...) }, true},
		{"a run with something behind it", messageKey(&p, 70), func(value []byte) []byte { return append(value, 0) }, true},
		{"a count that has no end", messageKey(&p, 70), func([]byte) []byte { return []byte{0x80, 0x80, 0x80} }, true},
		{"a message that is longer than its run", messageKey(&p, 70), func(value []byte) []byte { value[head]++; return value }, true},
		{"a message that points past its beginning", messageKey(&p, 70), func(value []byte) []byte { value[head+1] = 70; return value }, true},
		{"a message that counts more than there are", messageKey(&p, 70), func(value []byte) []byte { value[head+2] = 71; return value }, true},
		{"a message whose sender counts more than there are", messageKey(&p, 70), func(value []byte) []byte { value[head+3] = 71; return value }, true},
		{"a message of an origin that is not there", messageKey(&p, 70), func(value []byte) []byte { value[head+4] = 1; return value }, true},
		{"a member that is cut", append(prefix(&p, sectionMember), binary.BigEndian.AppendUint64(nil, 1)...), cut, false},
		{"a device that is cut", append(prefix(&p, sectionDevice), binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 1), 1)...), cut, false},
	} {
		cases = append(cases, damageCase{"record: " + r.name, r.check, apart, badRecord})
	}
	return cases
}

const badRecord = "embedded: a conversation cannot be read conversation=… err=embedded: a record in the store is damaged; stop the server and restore the data folder from a backup"

// check damages the record: it is an error for its conversation, and for no other.
func (r record) check(d *lossDisk) {
	bad, good, t := direct(1, 2), direct(1, 3), d.T
	disk := vfs.NewMem()
	s := mustOpen(t, Options{Queues: 1, FS: disk, Log: slog.New(d.log)})
	for id := uint64(1); id <= 70; id++ {
		new(entries).send(1, 1, 2, id).send(1, 1, 3, id).mustApply(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, Options{Queues: 1, FS: disk, Log: slog.New(d.log)})
	value, err := get(s.db, string(r.key))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Set(r.key, r.damage(slices.Clone(value)), pebble.Sync); err != nil {
		t.Fatal(err)
	}

	b := new(entries).send(1, 1, 3, 71).send(1, 1, 2, 71).send(1, 1, 3, 72)
	b.mustApply(t, s)
	if got := [...]logic.Outcome{b.Entries[0].Outcome, b.Entries[1].Outcome, b.Entries[2].Outcome}; got != [...]logic.Outcome{logic.Applied, logic.Unknown, logic.Applied} {
		t.Errorf("a batch came to %v, want that only its second entry is unknown", got)
	}
	pages := []*logic.Page{{Conversation: bad, Limit: 1, Room: 1}, {Conversation: good, Limit: 100, Room: 1 << 20}, {Conversation: bad, Limit: 100, Room: 1 << 20}}
	if err := s.Pages(t.Context(), pages); err != nil {
		t.Fatal(err)
	}
	for i, page := range pages {
		if broken := page.Conversation == bad; broken != (page.Err != nil) || broken && !errors.Is(page.Err, logic.ErrUnavailable) || !broken && page.Count != 72 {
			t.Errorf("page %d has %d messages and the error %v", i, page.Count, page.Err)
		}
	}
	if inbox, err := s.Changed(t.Context(), logic.InboxQuery{User: 2, Device: 1, Limit: 9, Room: 1 << 20}); err != nil || len(inbox.States) != 0 || inbox.More {
		t.Errorf("the inbox with it gives %+v, %v, want that it is left out", inbox, err)
	}
	if inbox, err := s.Changed(t.Context(), logic.InboxQuery{User: 1, Device: 1, Limit: 9, Room: 1 << 20}); err != nil || len(inbox.States) != 1 || inbox.States[0].Target != to(3) {
		t.Errorf("the inbox with it and another gives %+v, %v", inbox, err)
	}
	for _, counter := range []string{"failed.load", "failed.page", "failed.inbox"} {
		if s.Stats()[counter] == 0 {
			t.Errorf("%s is not counted", counter)
		}
	}
	if state := stateOf(t, s, 3, 1, 1); state.Head != 72 || state.Unread != 72 {
		t.Errorf("the inbox without it gives %+v", state)
	}

	if err := s.db.Set(r.key, value, pebble.Sync); err != nil { // from a backup
		t.Fatal(err)
	}
	if e := mustSend(t, s, 1, 1, 2, 71); e.Outcome != logic.Applied || e.Seq != 71 {
		t.Errorf("once it was mended the next message got %+v, want seq 71", e)
	}
	if r.paged {
		if err := s.db.Set(r.key, r.damage(slices.Clone(value)), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		// The conversation is in memory and its newest message is whole.
		page := logic.Page{Conversation: bad, From: 60, Limit: 100, Room: 1 << 20}
		if err := s.Pages(t.Context(), []*logic.Page{&page}); err != nil || !errors.Is(page.Err, logic.ErrUnavailable) {
			t.Errorf("a page with it in its middle gives %v and %v", err, page.Err)
		}
		page = logic.Page{Conversation: bad, From: 69, Backward: true, Limit: 100, Room: 1 << 20}
		if err := s.Pages(t.Context(), []*logic.Page{&page}); err != nil || page.Err != nil || page.Count != 69 {
			t.Errorf("a page without it has %d messages, %v and %v", page.Count, err, page.Err)
		}
	}
}
