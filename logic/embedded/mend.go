package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic/ledger"
)

// A store whose loss was given up goes on like this:
//
//   - No seq up to its floor is given out any more. The floor is the ceiling of the mark,
//     or, where the mark says nothing, far above every seq that is there. A conversation
//     whose head is below goes on above it, and its record announces the hole
//     (ledger.Options.Floor). So does one of which nothing is left, since it cannot be
//     told from one that never was.
//   - Everything that is there is gone through once. What refers to what is lost is made
//     to fit (mendTalk).
//   - The commits of the mark count as made, and stamps go on above all that can have been
//     told to clients. A since of before counts as 0 (keyResync): what it stands for is in
//     part not there, and what came back from a backup, or was left out, is in part older.
//
// The last write, durable with all the others, has commits, floor, identity and resync.
// Until it is there every start is refused as before, and mending begins anew.

const (
	// seqGap and stampGap are more than can have been given out unknown to the mark: in a
	// second, or, where there is no mark, since the backup that is there was made.
	seqGap   = 1 << 32
	stampGap = 1 << 32

	mendBatch = 1 << 20         // bytes that are written at once
	mendPause = 5 * time.Second // between lines that say how far it has come
)

// goOnWithout mends a store of which something is lost.
func (s *Store) goOnWithout(o *opening, found contents) (contents, error) {
	m := mender{db: s.db, w: s.db.NewBatch(), log: s.log, stamp: max(o.mark.stamp, found.commits.stamp()), said: time.Now()}
	if err := m.mend(); err != nil {
		return found, fmt.Errorf("mending: %w", err)
	}
	if found.empty {
		found.identity, found.empty = o.mark.identity, false
	}
	floor := max(o.mark.ceiling, found.floor, m.highest)
	if o.mark.identity != found.identity {
		floor = max(floor, m.highest+seqGap)
	}
	found.floor = (floor + o.opts.block - 1) / o.opts.block * o.opts.block
	for queue := range found.commits {
		c := &found.commits[queue]
		if c.number = max(c.number, c.count, o.mark.commits[queue]); c.number == 0 && queue > 0 {
			continue
		}
		c.count, c.stamp = c.number, m.stamp+stampGap
		value := make([]byte, commitsSize)
		c.put(value)
		m.w.Set(commitsKey(queue), value, nil)
	}
	found.resync = m.stamp + stampGap
	m.w.Set([]byte(keyResync), binary.BigEndian.AppendUint64(nil, found.resync), nil)
	m.w.Set([]byte(keyFloor), binary.BigEndian.AppendUint64(nil, found.floor), nil)
	m.w.Set([]byte(keyIdentity), found.identity[:], nil)
	m.w.Set([]byte(keyFormat), binary.BigEndian.AppendUint32(nil, formatVersion), nil)
	if err := m.w.Commit(pebble.Sync); err != nil {
		return found, err
	}
	s.log.Warn("embedded: mended", "conversations", m.talks, "unreadable records", m.unreadable, "go on above seq", found.floor)
	return found, nil
}

// mender goes through a database.
type mender struct {
	db         *pebble.DB
	w          *pebble.Batch
	log        *slog.Logger
	said       time.Time
	talks      int
	unreadable int    // records, which stay as they are
	stamp      uint64 // the highest there is
	highest    uint64 // seq likewise
	read       runReader
	write      runWriter
}

// mend goes through all conversations, one after the other.
func (m *mender) mend() error {
	it, err := m.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tagConversation}, UpperBound: []byte{tagConversation + 1}})
	if err != nil {
		return err
	}
	var t *mendTalk
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		key := it.Key()
		if len(key) < prefixSize {
			m.unreadable++
			continue
		}
		if t == nil || string(t.place[:]) != string(key[1:1+placeSize]) {
			if err = m.end(t); err != nil {
				break
			}
			t = newMendTalk(key[1:])
		}
		if bad := m.take(t, it); bad {
			m.unreadable++
		}
	}
	return errors.Join(err, m.end(t), it.Error(), it.Close())
}

// take reads one record of a conversation.
func (m *mender) take(t *mendTalk, it *pebble.Iterator) (bad bool) {
	value, err := it.ValueAndErr()
	if err != nil {
		return true
	}
	switch key := it.Key(); key[prefixSize-1] {
	case sectionMessage:
		if len(key) != messageSize || m.read.read(keySeq(key), value) != nil {
			return true
		}
		run, changed := m.read.messages, false
		for i := range run {
			before := t.sent(&run[i])
			changed = changed || before != run[i].links.previous
			run[i].links.previous = before
		}
		if changed {
			m.rewrite(&t.place, run)
		}
		newest := &run[len(run)-1]
		m.stamp, m.highest = max(m.stamp, newest.links.stamp), max(m.highest, newest.Seq)
	case sectionMember:
		x, err := readMember(key, value)
		if err != nil {
			return true
		}
		t.member(x.User).Member, t.member(x.User).there = x, true
		m.stamp = max(m.stamp, x.Changed)
	case sectionDevice:
		x, err := readDevice(key, value)
		if err != nil {
			return true
		}
		t.device(x.User, x.Device).Device, t.device(x.User, x.Device).there = x, true
		m.stamp = max(m.stamp, x.Changed)
	}
	return false
}

// rewrite writes a run anew.
func (m *mender) rewrite(p *place, run []stored) {
	for i := range run {
		x := &run[i]
		_, _ = m.write.add(&ledger.Message{ // its payload is one
			Seq: x.Seq, Previous: x.links.previous, Count: x.links.count, Own: x.links.own, Payload: x.AppendPayload(nil),
		})
	}
	newest := &run[len(run)-1]
	m.write.put(m.w, p, newest.Seq, newest.links.stamp)
}

// end writes what has to change in a conversation; nil is none.
func (m *mender) end(t *mendTalk) error {
	if t == nil {
		return nil
	}
	m.talks++
	for _, x := range t.members {
		if fit := t.fitMember(x); !x.there || fit != x.Member {
			key, value := make([]byte, memberKey), make([]byte, memberValue)
			putMember(key, value, &t.place, &fit)
			m.w.Set(key, value, nil)
		}
	}
	for _, x := range t.devices {
		if fit := t.fitDevice(x); !x.there || fit != x.Device {
			key, value := make([]byte, deviceKey), make([]byte, deviceValue)
			putDevice(key, value, &t.place, &fit)
			m.w.Set(key, value, nil)
		}
	}
	if t.head > 0 {
		putInbox(m.w, t.key)
	}
	if now := time.Now(); now.Sub(m.said) >= mendPause {
		m.said = now
		m.log.Warn("embedded: mending", "conversations so far", m.talks)
	}
	if m.w.Len() < mendBatch {
		return nil
	}
	if err := m.w.Commit(pebble.NoSync); err != nil {
		return err
	}
	m.w = m.db.NewBatch()
	return nil
}
