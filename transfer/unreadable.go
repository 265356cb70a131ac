package transfer

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/hop"
	"gannet/internal/operate"
)

const (
	// maxUnreadable bounds how many unreadable records and entries are kept: enough to see what
	// is wrong.
	maxUnreadable = 64

	// maxSample is how many bytes of each are kept: enough for a header and the name of its
	// conversation.
	maxSample = 128
)

// Unreadable is a record, or an entry of one, that could not be read. Its message stays in the
// store, where SYNC finds it.
type Unreadable struct {
	Queue  int
	Mark   uint64
	Entry  int // index of the entry, or wholeRecord
	Reason string
	Time   time.Time
	Sample []byte // the first bytes of the frame, or of the record
}

// wholeRecord is the Entry of an Unreadable that is a whole record.
const wholeRecord = -1

// The reasons.
var unreadableReasons = [...]string{"op", "bounds", "frame", "conversation", "record"}

const (
	badOp           = iota // an unknown operation
	badBounds              // outside the record's bytes
	badFrame               // not one whole frame of the type that the operation demands
	badConversation        // of a kind to which nobody is entitled
	badRecord              // bytes that are no record
)

// unreadable counts and keeps what could not be read.
type unreadable struct {
	counts [len(unreadableReasons)]atomic.Uint64
	said   [len(unreadableReasons)]operate.Seldom

	mu   sync.Mutex
	kept []Unreadable
}

// note keeps entry i of a record. say tells the caller to log it.
func (u *unreadable) note(record *hop.Record, i, reason int) (say bool) {
	u.counts[reason].Add(1)
	x := Unreadable{Queue: record.Queue, Mark: record.Mark, Entry: i, Reason: unreadableReasons[reason], Time: time.Now()}
	raw := record.Blob
	switch {
	case reason == badBounds:
		raw = nil
	case i != wholeRecord:
		raw = record.Bytes(i)
	}
	x.Sample = bytes.Clone(raw[:min(len(raw), maxSample)])
	u.mu.Lock()
	if len(u.kept) == maxUnreadable {
		u.kept = slices.Delete(u.kept, 0, 1)
	}
	u.kept = append(u.kept, x)
	u.mu.Unlock()
	return u.said[reason].Now()
}

func (u *unreadable) list() []Unreadable {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.kept)
}

func (u *unreadable) stats(into map[string]uint64) {
	for i, name := range unreadableReasons {
		into["unreadable."+name] = u.counts[i].Load()
	}
}
