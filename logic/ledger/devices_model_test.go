package ledger_test

import (
	"slices"
	"time"
)

const (
	day      = 24 * hour               // milliseconds
	toldWait = 1234 * time.Millisecond // of those who may not begin a conversation
)

// wait gives for how long a user may not begin the conversation, or not go on after
// being told so in the same record.
func (t *talk) wait(user uint64) (wait time.Duration) {
	if t.record.limited[user] {
		return toldWait
	}
	if wait = t.record.rules.admit(user); wait > 0 {
		t.record.limited[user] = true
	}
	return wait
}

// known gives the devices of a user that the conversation knows, in order.
func (t *talk) known(user uint64) (list []origin) {
	all := map[origin]bool{}
	for o := range t.newestOf {
		all[o] = true
	}
	for o, acked := range t.acked {
		if acked > 0 {
			all[o] = true
		}
	}
	for o := range all {
		if o.user == user {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b origin) int { return int(a.device) - int(b.device) })
	return list
}

// makeRoom has a device make room for one that is not known yet, if that takes one;
// false: none can.
func (t *talk) makeRoom(fresh origin, now uint64) bool {
	known := t.known(fresh.user)
	if slices.Contains(known, fresh) || len(known) < t.record.rules.devices {
		return true
	}
	found, oldest, at := false, origin{}, [2]uint64{}
	for _, o := range known {
		d := t.device(o)
		replayed := d.Last > t.record.head/t.record.rules.checkpoint*t.record.rules.checkpoint
		if t.record.named[o] || replayed || d.Last > 0 && now < d.Time+day {
			continue
		}
		if x := [2]uint64{max(d.Last, d.Acked), d.Changed}; !found || slices.Compare(x[:], at[:]) < 0 {
			found, oldest, at = true, o, x
		}
	}
	if !found {
		return false
	}
	if m := t.member(fresh.user); t.acked[oldest] > m.Delivered || t.writtenAt[oldest] > m.Changed {
		t.floor[fresh.user], t.raisedAt[fresh.user] = max(m.Delivered, t.acked[oldest]), max(m.Changed, t.writtenAt[oldest])
		t.record.raised[fresh.user] = true
	}
	t.room[oldest] = len(t.messages)
	for _, m := range []map[origin]uint64{t.acked, t.writtenAt, t.kept, t.written} {
		delete(m, oldest)
	}
	delete(t.newestOf, oldest)
	t.record.gone = append(t.record.gone, oldest)
	return true
}
