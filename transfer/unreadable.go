package transfer

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/hop"
)

const (
	// maxUnreadable bounds how many of what could not be read are kept: enough to
	// see what is wrong.
	maxUnreadable = 64

	// maxSample is how many bytes of each are kept: a header and what names its
	// conversation.
	maxSample = 128

	// sayPause is the least time between two log lines for one reason.
	sayPause = time.Second
)

// Unreadable is a record, or an entry of one, that could not be read. What it
// concerns stays in the store, where SYNC finds it.
type Unreadable struct {
	Queue  int
	Mark   uint64
	Entry  int // -1: the whole record
	Reason string
	Time   time.Time
	Sample []byte // the first bytes of the frame
}

// The reasons.
var unreadableReasons = [...]string{"op", "bounds", "frame", "conversation"}

const (
	badOp           = iota // an operation that nobody knows
	badBounds              // outside the record's bytes
	badFrame               // not one whole frame of the type that the operation demands
	badConversation        // of a kind that nobody is entitled to
)

// unreadable counts and keeps what could not be read.
type unreadable struct {
	counts [len(unreadableReasons)]atomic.Uint64
	said   [len(unreadableReasons)]atomic.Int64 // when it was logged last, Unix nanoseconds

	mu   sync.Mutex
	kept []Unreadable
}

// note keeps entry i of a record; say asks the caller to log it.
func (u *unreadable) note(record *hop.Record, i, reason int) (say bool) {
	u.counts[reason].Add(1)
	now := time.Now()
	x := Unreadable{Queue: record.Queue, Mark: record.Mark, Entry: i, Reason: unreadableReasons[reason], Time: now}
	if f := record.Entries[i].Frame; reason != badBounds {
		x.Sample = bytes.Clone(record.Blob[f.Start:min(f.End, f.Start+maxSample)])
	}
	u.mu.Lock()
	if len(u.kept) == maxUnreadable {
		u.kept = slices.Delete(u.kept, 0, 1)
	}
	u.kept = append(u.kept, x)
	u.mu.Unlock()
	last := u.said[reason].Load()
	return now.UnixNano()-last >= int64(sayPause) && u.said[reason].CompareAndSwap(last, now.UnixNano())
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
