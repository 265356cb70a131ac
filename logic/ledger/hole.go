package ledger

import (
	"gannet/internal/hop"
	"gannet/protocol"
)

// announceHole adds to the record, before a conversation's first message of the
// batch, that the seqs between that and the one before will never exist: an entry for
// each member, as each names the conversation in another way. Where nothing is
// missing it adds nothing.
func announceHole(record *hop.Record, c *conversation, seq uint64) {
	first, last := c.shown.Head+1, seq-1
	if first > last {
		return
	}
	for _, user := range holders(c.key) {
		start := uint32(len(record.Blob))
		// The blob is that of the batch, which others may hold: it is copied.
		record.Blob = protocol.Range{Target: c.key.Target(user), First: first, Last: last}.AppendHole(record.Blob[:start:start])
		record.Entries = append(record.Entries, hop.RecordEntry{
			Op: hop.OpHole, Conversation: c.key, User: user, Seq: last,
			Frame: hop.Span{Start: start, End: uint32(len(record.Blob))},
		})
	}
}

// holders gives the users of a conversation whose members its key names.
func holders(c protocol.Conversation) []uint64 {
	switch {
	case c.Kind == protocol.KindDirect && c.A != c.B:
		return []uint64{c.A, c.B}
	case c.Kind == protocol.KindDirect, c.Kind == protocol.KindSystem:
		return []uint64{c.A}
	}
	return nil
}
