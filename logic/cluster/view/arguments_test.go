package view

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"gannet/internal/hop"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// changeOf is a change of three conversations: one that begins, one with a message and a device
// that goes, and one in which only a member moves on.
func changeOf() *ledger.Change {
	key := func(b uint64) protocol.Conversation {
		return protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: b}
	}
	m := protocol.Message{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: 1, Sender: 1, Device: 5, ClientID: 1, Content: protocol.ContentText, Body: []byte("hello")}
	payload := m.AppendPayload(nil)
	return &ledger.Change{
		Messages: []ledger.Message{{Seq: 9, Payload: payload}, {Seq: 1, Payload: payload}},
		Members:  []ledger.Member{{User: 1, Total: 1}, {User: 4, Read: 3}},
		Devices:  []ledger.Device{{User: 1, Device: 5, MaxID: 1}},
		Gone:     []ledger.Device{{User: 3, Device: 7}, {User: 3, Device: 8}},
		Conversations: []ledger.Changed{
			{Key: key(3), Before: ledger.Progress{Head: 8}, After: ledger.Progress{Head: 9}, Messages: hop.Span{End: 1}, Gone: hop.Span{End: 2}},
			{Key: key(2), After: ledger.Progress{Head: 1}, Messages: hop.Span{Start: 1, End: 2}, Members: hop.Span{End: 1}, Devices: hop.Span{End: 1}},
			{Key: key(4), Before: ledger.Progress{Head: 5}, After: ledger.Progress{Head: 5}, Members: hop.Span{Start: 1, End: 2}},
		},
	}
}

// told gives the arguments of a call as the server gets them, without the first.
func told(t *testing.T, a *arguments) (list []string) {
	t.Helper()
	for _, arg := range a.all("first")[1:] {
		switch arg := arg.(type) {
		case []byte:
			list = append(list, string(arg))
		case *argument:
			b, err := arg.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, string(b))
		default:
			t.Fatalf("an argument is a %T", arg)
		}
	}
	return list
}

func TestArguments(t *testing.T) {
	const base = "{x.chat.0}"
	a, change := arguments{base: base}, changeOf()
	place := func(b uint64) string { return "c\x01" + number(1) + number(b) }
	last, err := appendLast(nil, change.Messages[0].Payload)
	if err != nil {
		t.Fatal(err)
	}
	progress := func(i int) string { return string(appendProgress(nil, &change.Conversations[i].After)) }
	want := []string{
		"\x80\x07", "\x80\x03\x00\x04", "\x00\x03",
		base + place(2), progress(1), string(last), "m" + number(1), string(appendMember(nil, &change.Members[0])), "d" + number(1) + number(5), string(appendDevice(nil, &change.Devices[0])),
		base + place(3), progress(0), string(last),
		base + place(4), progress(2), "m" + number(4), string(appendMember(nil, &change.Members[1])),
		base + place(3), "d" + number(3) + number(7), "d" + number(3) + number(8),
		base + "u" + number(1), "\x01" + number(2), base + "u" + number(2), "\x01" + number(1),
	}
	for _, c := range []*ledger.Change{change, {}, change} { // nothing of one record is left in the next
		created, err := a.record(c, nil)
		got := told(t, &a)
		switch {
		case err != nil:
			t.Fatal(err)
		case c != change && (len(created) != 0 || a.size() != 0 || !slices.Equal(got, []string{"", "", ""})):
			t.Fatalf("nothing became %q, of %d bytes, and begins for %d", got, a.size(), created)
		case c == change && (!slices.Equal(created, []uint64{1, 2}) || !slices.Equal(got, want) || a.size() != len(strings.Join(want, ""))):
			t.Fatalf("%q of %d bytes, which begin for %d\nwant %q", got, a.size(), created, want)
		}
	}
}

// TestLongArguments: the longest conversation has a length that its flag does not touch, and
// a longer one is refused, as a script could not hand it over.
func TestLongArguments(t *testing.T) {
	for _, n := range []int{maxFields - 2, maxFields - 1} {
		change := changeOf()
		change.Conversations = change.Conversations[1:2]
		change.Members = make([]ledger.Member, n)
		change.Conversations[0].Members = hop.Span{End: uint32(n)}
		change.Conversations[0].Devices = hop.Span{}
		var a arguments
		_, err := a.record(change, nil)
		if n > maxFields-2 {
			if !errors.Is(err, ErrLarge) {
				t.Errorf("%d members: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.BigEndian.Uint16(a.begins); got != flagMessage|uint16(3+2*n) {
			t.Errorf("%d members have the length %x", n, got)
		}
	}
	change := changeOf()
	change.Gone = make([]ledger.Device, 2*maxFields+1)
	change.Conversations[0].Gone = hop.Span{End: uint32(len(change.Gone))}
	var a arguments
	if _, err := a.record(change, nil); !errors.Is(err, ErrLarge) {
		t.Errorf("%d devices that go: %v", len(change.Gone), err)
	}
}
