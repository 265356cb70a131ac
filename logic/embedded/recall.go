package embedded

import (
	"cmp"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic"
	"gannet/protocol"
)

// A device sends rising client ids, so an id above the highest accepted one is
// new. For any other the device's messages in the conversation are walked, from
// the one that was accepted last back to the first, along the link that each
// message keeps to the one before.
//
// Where the walk may end: as long as message n is not acked, its device has sent
// fewer than MaxUnacked messages with a higher id there. So, if n was accepted,
//
//   - fewer than MaxUnacked messages with a higher id were accepted after it;
//   - fewer than MaxUnacked messages with a lower id were: let m be the lowest of
//     them. It was not acked when n was sent, so n and all ids between m and n are
//     among the fewer than MaxUnacked that were sent after m.
//
// Passing MaxUnacked lower ids, or the device's first message, thus proves that
// n was never accepted. Passing MaxUnacked higher ones means that the device
// did not keep to the window, or asks far too late: Stale.

// sent is a message of a device.
type sent struct{ id, seq uint64 }

// recent is what is known of a device's messages, so that the walks of a device
// that repeats a whole window read each message once.
type recent struct {
	newer []sent // accepted since the first walk, oldest first
	older []sent // read back, newest first
	next  uint64 // seq of the message to read back next, 0 when there is none
}

// maxWalk is how many messages decide every walk.
const maxWalk = 2*protocol.MaxUnacked - 1

// add takes a newly accepted message in.
func (r *recent) add(m sent) {
	if len(r.newer) == 2*maxWalk { // the newest maxWalk suffice; copy them seldom
		r.newer = append(r.newer[:0], r.newer[maxWalk:]...)
		r.older = nil
	}
	r.newer = append(r.newer, m)
}

// remembered has the devices that have a recent, so that a lane keeps but a few
// of them, up to 100 kB each: most repeat once, after a reconnect.
type remembered struct {
	devices [32]*device
	next    int
}

func (m *remembered) add(d *device) {
	if oldest := m.devices[m.next]; oldest != nil {
		oldest.recent = nil
	}
	m.devices[m.next] = d
	m.next = (m.next + 1) % len(m.devices)
}

// recall looks for the message of entries[i], whose client id is not above the
// device's highest, among those accepted before. When it is known, or nothing
// can be said, the entry gets its results; otherwise it is new.
func (s *Store) recall(l *lane, d *device, entries []logic.Entry, i int) (known bool, err error) {
	e, c := &entries[i], l.batch.steps[i].conversation
	if d.recent == nil {
		d.recent = &recent{next: d.durable}
		for j := range i { // those of this batch cannot be read back yet
			if x := &entries[j]; l.batch.steps[j].conversation == c && x.Op == logic.OpMessage && x.Outcome == logic.Applied &&
				x.User == d.user && x.Device == d.device {
				d.recent.add(sent{id: x.ClientID, seq: x.Seq})
			}
		}
		l.batch.remembered.add(d)
	}
	seq, stale, err := s.walk(c, d.recent, e.ClientID)
	switch {
	case err != nil:
		return false, err
	case stale:
		e.Outcome = logic.Stale
		return true, nil
	case seq == 0:
		return false, nil
	}
	e.Outcome, e.Seq = logic.Repeated, seq
	if seq > c.durable.head {
		for j := range i {
			if l.batch.steps[j].conversation == c && entries[j].Outcome == logic.Applied && entries[j].Seq == seq {
				e.Time = entries[j].Time
				return true, nil
			}
		}
	}
	e.Time, err = s.timeOf(c, seq)
	return true, err
}

// walk looks for a client id. seq is 0 when it was never accepted.
func (s *Store) walk(c *conversation, r *recent, id uint64) (seq uint64, stale bool, err error) {
	higher, lower := 0, 0
	ends := func(m sent) bool {
		switch {
		case m.id == id:
			seq = m.seq
			return true
		case m.id > id:
			higher++
			stale = higher == protocol.MaxUnacked
			return stale
		default:
			lower++
			return lower == protocol.MaxUnacked
		}
	}
	for j := len(r.newer) - 1; j >= 0; j-- {
		if ends(r.newer[j]) {
			return seq, stale, nil
		}
	}
	for _, m := range r.older {
		if ends(m) {
			return seq, stale, nil
		}
	}
	if r.next == 0 {
		return 0, false, nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: messageKey(&c.place, 1), UpperBound: messageKey(&c.place, ^uint64(0))})
	if err != nil {
		return 0, false, unavailable(err)
	}
	defer it.Close()
	for r.next != 0 {
		if !it.SeekGE(messageKey(&c.place, r.next)) || keySeq(it.Key()) != r.next {
			return 0, false, unavailable(cmp.Or(it.Error(), errCorrupt))
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return 0, false, unavailable(err)
		}
		prev, m, err := decodeMessage(value)
		if err != nil {
			return 0, false, unavailable(err)
		}
		known := sent{id: m.ClientID, seq: m.Seq}
		r.older, r.next = append(r.older, known), prev
		if ends(known) {
			return seq, stale, nil
		}
	}
	return 0, false, nil
}

// timeOf gives the time of a message.
func (s *Store) timeOf(c *conversation, seq uint64) (uint64, error) {
	value, closer, err := s.db.Get(messageKey(&c.place, seq))
	if err != nil {
		return 0, unavailable(err)
	}
	defer closer.Close()
	_, m, err := decodeMessage(value)
	if err != nil {
		return 0, unavailable(err)
	}
	return m.Time, nil
}
