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

	// maxAcks bounds the acks of a record, even if there is room for more. In a view, an ack in a
	// conversation without other changes is two or three fields, and a message is four. So acks
	// make no script longer than a record full of messages does, and no conversation comes near the
	// number of fields that Lua can take.
	maxAcks = 1024
)

// acksFor says how many acks a record of batches takes along. Acks of devices that send in the
// record come first and are always taken. So a record of short messages, each from another device,
// may be a quarter larger than others.
func acksFor(batches []*logic.Batch, most int) int {
	room := most - chain.HeadSize
	for _, b := range batches {
		room -= sizeOf(b.Entries)
	}
	return min(max(room/entrySize, 1), maxAcks)
}

// Room says how large a batch of frames may be that goes into one record of the given size: most
// bytes in all, where each frame counts as its length plus the given number.
func Room(record int) (most, frame int) {
	return record - chain.HeadSize - ackRoom, entrySize + logic.PushOverhead
}

// part is what goes into one record: whole batches, or a piece of one that is larger.
type part struct {
	batches []*logic.Batch
	of      *logic.Batch // the batch of which this is a piece, nil: they are whole
	begins  bool         // it is the first piece
}

// fail answers a part that was not carried out. If nothing was tried because Redis does not answer,
// its entries are answered busy. If the first piece of a batch failed, the whole batch has failed,
// because the other pieces are not tried.
func (p *part) fail(err error, tried bool) {
	if !tried && errors.Is(err, errWaits) && (p.of == nil || p.begins || p.of.Err == nil) {
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

// fitting says how many batches, from the first on, are carried out together: as many as fit into
// one record, or the first one alone if it is larger than a record. The others get a later record,
// so that an answer that is known does not wait for theirs.
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
