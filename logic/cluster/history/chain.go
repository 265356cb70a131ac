package history

import (
	"encoding/binary"

	"gannet/logic"
	"gannet/protocol"
)

// ask is a page on its way. Its methods take rows in and say what is known by then: each
// row names the seq before it, so rows that follow each other prove that nothing lies
// between them, and a row that is missing is noticed.
type ask struct {
	page        *logic.Page
	recent      Recent
	first, last uint64 // what the page asks for, within what there is

	kept  []item // in the page's direction
	bytes int
	full  bool

	// Forward, everything from first to reached is there. Backward, the next seq down is
	// next if certain, else it is next or lower.
	reached uint64
	next    uint64
	certain bool

	blocked bool // a row is missing
}

// item is a message of a page: an encoded one from memory or a row.
type item struct {
	payload []byte
	row     *row
	before  uint64 // the seq before it
	seq     uint64
}

// itemHead is the length that stands before each item of a page.
const itemHead = 4

// messageHead is what an encoded Message has beside its body.
var messageHead = len(protocol.Message{}.AppendPayload(nil))

// take adds a message if the page has room for it.
func (a *ask) take(x item, size int) bool {
	if len(a.kept) >= a.page.Limit || len(a.kept) > 0 && a.bytes+itemHead+size > a.page.Room {
		a.full = true
		return false
	}
	a.kept = append(a.kept, x)
	a.bytes += itemHead + size
	return true
}

// begin sets what the page is about. It takes in the memory of the owner if the page begins there.
func (a *ask) begin() {
	p, head := a.page, a.recent.Head
	p.Head = head
	a.first, a.last = max(p.From, 1), head
	if p.To != 0 {
		a.last = min(p.To, head)
	}
	if p.Backward {
		a.first, a.last = 1, head
		if p.From != 0 {
			a.last = min(p.From, head)
		}
	}
	a.reached, a.next = a.first-1, a.last
	if a.nothing() {
		return
	}
	if !p.Backward {
		a.join()
		return
	}
	if a.last >= a.recent.Before {
		a.next, a.certain = a.recent.Before, true
	}
	for i := len(a.recent.Messages) - 1; i >= 0 && a.last >= a.recent.First; i-- {
		m := &a.recent.Messages[i]
		if m.Seq > a.last {
			continue
		}
		before := a.recent.Before
		if i > 0 {
			before = a.recent.Messages[i-1].Seq
		}
		if !a.take(item{payload: m.Payload, before: before, seq: m.Seq}, len(m.Payload)) {
			return
		}
	}
}

func (a *ask) nothing() bool { return a.first > a.last }

// done says whether the page is as long as it can be.
func (a *ask) done() bool {
	if a.full || a.blocked || a.nothing() || len(a.kept) >= a.page.Limit {
		return true
	}
	if a.page.Backward {
		return a.certain && a.next == 0
	}
	return a.reached >= a.last
}

// window gives the range that is to be read next.
func (a *ask) window() window {
	w := window{conversation: a.page.Conversation}
	size := uint64(min(max(a.page.Limit-len(a.kept), 1), maxWindow))
	if a.page.Backward {
		w.last = a.next
		w.first = w.last - min(size, w.last) + 1
		return w
	}
	w.first = a.reached + 1
	w.last = min(w.first+size-1, a.last, a.recent.First-1)
	return w
}

// rows takes in the rows of the window, in rising order.
func (a *ask) rows(rows []row) {
	if a.page.Backward {
		a.rowsBackward(rows)
		return
	}
	for i := range rows {
		r := &rows[i]
		if r.seq <= a.reached {
			continue
		}
		if r.before > a.reached {
			a.blocked = true
			return
		}
		if !a.take(item{row: r, before: r.before, seq: r.seq}, messageHead+int(r.size)) {
			a.reached = r.seq - 1
			return
		}
		a.reached = r.seq
	}
	a.join()
}

// join goes on in memory when the rows have come so far. All its messages are newer than
// every row.
func (a *ask) join() {
	if a.reached < a.recent.Before || a.full {
		return
	}
	a.reached = max(a.reached, min(a.recent.First-1, a.last))
	for i := range a.recent.Messages {
		m := &a.recent.Messages[i]
		if m.Seq <= a.reached {
			continue
		}
		if m.Seq > a.last {
			break
		}
		if !a.take(item{payload: m.Payload, seq: m.Seq}, len(m.Payload)) {
			a.reached = m.Seq - 1
			return
		}
		a.reached = m.Seq
	}
	a.reached = a.last
}

func (a *ask) rowsBackward(rows []row) {
	for i := len(rows) - 1; i >= 0; i-- {
		r := &rows[i]
		if r.seq != a.next {
			break
		}
		if !a.take(item{row: r, before: r.before, seq: r.seq}, messageHead+int(r.size)) {
			return
		}
		a.next, a.certain = r.before, true
	}
}

// stands says that a page got nowhere: not even its beginning is known to be complete.
func (a *ask) stands() bool {
	if a.nothing() || len(a.kept) > 0 || a.full {
		return false
	}
	if a.page.Backward {
		return a.next > 0
	}
	return a.reached < a.first
}

// skip passes what retention removed, which is everything up to gone.
func (a *ask) skip(gone uint64) {
	if a.page.Backward {
		if gone >= a.next {
			a.next, a.certain = 0, true
		}
		return
	}
	if gone > a.reached {
		a.reached, a.blocked = min(gone, a.last), false
		a.join()
	}
}

// jump passes a hole: up is the first message above where the page stands.
func (a *ask) jump(up edge) bool {
	switch {
	case a.page.Backward && !a.certain && up.before <= a.next:
		a.next, a.certain = up.before, true
	case !a.page.Backward && up.before <= a.reached && up.seq > a.reached+1:
		a.reached, a.blocked = min(up.seq-1, a.last), false
		a.join()
	default:
		return false
	}
	return true
}

// finish fills in a page that does not stand.
func (a *ask) finish() {
	p := a.page
	if a.nothing() {
		p.First, p.Last = a.first, a.last
		return
	}
	if p.Backward {
		p.First, p.Last = 1, a.last
		if n := len(a.kept); n > 0 {
			p.First = a.kept[n-1].before + 1
		}
	} else {
		p.First, p.Last = a.first, min(a.reached, a.last)
	}
	p.Items = make([]byte, 0, a.bytes)
	for i := range a.kept {
		x := &a.kept[i]
		if p.Backward {
			x = &a.kept[len(a.kept)-1-i]
		}
		if x.row == nil {
			p.Items = binary.BigEndian.AppendUint32(p.Items, uint32(len(x.payload)))
			p.Items = append(p.Items, x.payload...)
			continue
		}
		p.Items = binary.BigEndian.AppendUint32(p.Items, uint32(messageHead+int(x.row.size)))
		p.Items = x.row.message.AppendPayload(p.Items)
	}
	p.Count = len(a.kept)
}
