package embedded

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"gannet/logic/ledger"
	"gannet/protocol"
)

// Load implements ledger.Source: each conversation as it is at one moment.
func (s *Store) Load(ctx context.Context, conversations []*ledger.Loaded) error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	for _, c := range conversations {
		if c.Err = ctx.Err(); c.Err == nil {
			it.SetBounds(boundsOf(c.Key))
			c.Err = advised(withFile(load(it, c)))
		}
		if c.Err != nil && s.damage.loads.Note() {
			s.log.Error("embedded: a conversation cannot be read", "conversation", c.Key, "err", c.Err.Error())
		}
	}
	_ = it.Close() // what went wrong is the error of a conversation already
	return nil
}

// boundsOf keeps an iterator within a conversation: what lies beside it may be
// damaged, which is no concern of this one.
func boundsOf(c protocol.Conversation) (lower, upper []byte) {
	p := placeOf(c)
	return prefix(&p, sectionMessage), prefix(&p, sectionDevice+1)
}

func load(it *pebble.Iterator, c *ledger.Loaded) error {
	p := placeOf(c.Key)
	members, devices := prefix(&p, sectionMember), prefix(&p, sectionDevice)
	messages := messagesOf(it, p)
	if messages.newest() {
		m := messages.message()
		c.Progress = ledger.Progress{Head: m.Seq, Time: m.Time, Count: m.links.count, Changed: m.links.stamp}
	}
	if messages.err != nil || c.Head == 0 { // without a message nothing is kept
		return messages.err
	}
	for ok := it.SeekGE(members); ok; ok = it.Next() {
		key := it.Key()
		isMember := bytes.HasPrefix(key, members)
		if !isMember && !bytes.HasPrefix(key, devices) {
			break
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if isMember {
			m, err := readMember(key, value)
			if err != nil {
				return err
			}
			c.Members, c.Changed = append(c.Members, m), max(c.Changed, m.Changed)
			continue
		}
		d, err := readDevice(key, value)
		if err != nil {
			return err
		}
		c.Devices, c.Changed = append(c.Devices, d), max(c.Changed, d.Changed)
	}
	if err := it.Error(); err != nil {
		return err
	}
	for ok := messages.seek(c.Head/checkpoint*checkpoint + 1); ok; ok = messages.next() {
		m := messages.message()
		c.Replay(&m.Message, m.links.count, m.links.own, m.links.stamp)
	}
	return messages.err
}

// Walk implements ledger.Source.
func (s *Store) Walk(ctx context.Context, walks []*ledger.Walk) error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	for _, w := range walks {
		if w.Err = ctx.Err(); w.Err == nil {
			it.SetBounds(boundsOf(w.Key))
			w.Err = advised(withFile(walk(it, w)))
		}
		if w.Err != nil && ctx.Err() == nil && s.damage.walks.Note() {
			s.log.Error("embedded: the messages of a device cannot be read", "conversation", w.Key, "user", w.User, "device", w.Device, "err", w.Err.Error())
		}
	}
	_ = it.Close() // what went wrong is the error of a walk already
	return nil
}

func walk(it *pebble.Iterator, w *ledger.Walk) error {
	messages := messagesOf(it, placeOf(w.Key))
	for err := messages.find(w.From); ; err = messages.findBack(messages.message().links.previous) {
		if err != nil {
			return err
		}
		m := messages.message()
		if m.Sender != w.User || m.Device != w.Device {
			return errCorrupt
		}
		if !w.Visit(m.ClientID, m.Seq, m.Time, m.links.previous) || m.links.previous == 0 {
			return nil
		}
	}
}
