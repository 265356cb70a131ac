package owner

import (
	"errors"

	"gannet/internal/chain"
	"gannet/logic"
)

const (
	// entrySize is what an entry of a record takes beside its frame, at most.
	entrySize = 64

	// ackRoom is what records leave for acks that come along.
	ackRoom = 16 << 10

	// maxAcks bounds the acks of a record, whatever room it has for more. In a view the ack
	// of a conversation that has nothing else is two or three fields, a message four: so no
	// script is longer for acks than for a record full of messages, and none comes near
	// what Lua takes of one conversation.
	maxAcks = 1024
)

// acksFor says how many acks a record of batches takes along. Those of devices that send in
// it come first and always, so a record of short messages of as many devices may be a quarter
// larger than others.
func acksFor(batches []*logic.Batch, most int) int {
	room := most - chain.HeadSize
	for _, b := range batches {
		room -= sizeOf(b.Entries)
	}
	return min(max(room/entrySize, 1), maxAcks)
}

// Room says how large a batch of frames may be of which one record of so many bytes is made:
// most bytes in all, where each frame counts as so many more than it has.
func Room(record int) (most, frame int) {
	return record - chain.HeadSize - ackRoom, entrySize + logic.PushOverhead
}

// part is what goes into one record: whole batches, or a piece of one that is larger.
type part struct {
	batches []*logic.Batch
	of      *logic.Batch // the batch of which this is a piece, nil: they are whole
	begins  bool         // it is the first piece
}

// fail answers what was not carried out. Where nothing was tried, because Redis does not
// answer or transfer is behind, it is busy. A batch of which the first piece failed has failed as a whole, for
// the others are not tried then.
func (p *part) fail(err error, tried bool) {
	if !tried && (errors.Is(err, errWaits) || errors.Is(err, errLate)) && (p.of == nil || p.begins || p.of.Err == nil) {
		for _, b := range p.batches {
			refuse(b.Entries)
		}
		return
	}
	if p.begins {
		p.of.Err = err
	}
	for _, b := range p.batches {
		failBatch(b, err)
	}
}

// split makes parts of batches, in order, each as large as a record may be; one entry
// always fits.
func split(batches []*logic.Batch, most int) (parts []part) {
	room, _ := Room(most)
	left := 0
	for _, b := range batches {
		size := sizeOf(b.Entries)
		if size > room {
			for i, piece := range pieces(b, room) {
				parts = append(parts, part{batches: []*logic.Batch{piece}, of: b, begins: i == 0})
			}
			left = 0
			continue
		}
		if size > left || len(parts) == 0 {
			parts = append(parts, part{})
			left = room
		}
		last := &parts[len(parts)-1]
		last.batches = append(last.batches, b)
		left -= size
	}
	return parts
}

// fitting says how many of batches, from the first on, go into one record, or into those of
// a first one that is larger. Those behind it have a record of their own: whose answer is
// known does not wait for theirs.
func fitting(batches []*logic.Batch, most int) (n int) {
	left, _ := Room(most)
	for _, b := range batches {
		if left -= sizeOf(b.Entries); left < 0 && n > 0 {
			break
		}
		n++
	}
	return n
}

// pieces cuts a batch; the pieces share its entries and its blob.
func pieces(b *logic.Batch, room int) (list []*logic.Batch) {
	for from := 0; from < len(b.Entries); {
		to, size := from, 0
		for to < len(b.Entries) {
			if size += sizeOf(b.Entries[to : to+1]); size > room && to > from {
				break
			}
			to++
		}
		list = append(list, &logic.Batch{Queue: b.Queue, Blob: b.Blob, Entries: b.Entries[from:to]})
		from = to
	}
	return list
}

func sizeOf(entries []logic.Entry) (size int) {
	for i := range entries {
		size += entrySize + entries[i].Frame.Len()
	}
	return size
}
