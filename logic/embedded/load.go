package embedded

import (
	"bytes"
	"context"
	"errors"

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
			c.Err = withFile(load(it, c))
		}
		if c.Err != nil && s.damage.loads.note() {
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
	messages, members, devices := prefix(&p, sectionMessage), prefix(&p, sectionMember), prefix(&p, sectionDevice)
	if it.SeekLT(members) && bytes.HasPrefix(it.Key(), messages) {
		links, m, err := readMessage(it)
		if err != nil {
			return err
		}
		c.Progress = ledger.Progress{Head: m.Seq, Time: m.Time, Count: links.count, Changed: links.stamp}
	}
	// A seek forgets the error of what came before it.
	if err := it.Error(); err != nil {
		return err
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
	first := c.Head/checkpoint*checkpoint + 1
	for ok := it.SeekGE(messageKey(&p, first)); ok && bytes.HasPrefix(it.Key(), messages); ok = it.Next() {
		links, m, err := readMessage(it)
		if err != nil {
			return err
		}
		c.Replay(&m, links.count, links.own, links.stamp)
	}
	return it.Error()
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
			w.Err = withFile(walk(it, w))
		}
		if w.Err != nil && s.damage.walks.note() {
			s.log.Error("embedded: the messages of a device cannot be read", "conversation", w.Key, "user", w.User, "device", w.Device, "err", w.Err.Error())
		}
	}
	_ = it.Close() // what went wrong is the error of a walk already
	return nil
}

// walkSteps is how far apart two messages of a device may be for the iterator to go
// from one to the other step by step, which costs less than to search.
const walkSteps = 8

func walk(it *pebble.Iterator, w *ledger.Walk) error {
	p := placeOf(w.Key)
	ok := it.SeekGE(messageKey(&p, w.From))
	for seq := w.From; seq != 0; {
		if !ok || !bytes.Equal(it.Key(), messageKey(&p, seq)) {
			return errors.Join(errCorrupt, it.Error())
		}
		links, m, err := readMessage(it)
		if err != nil {
			return err
		}
		if m.Sender != w.User || m.Device != w.Device {
			return errCorrupt
		}
		if !w.Visit(m.ClientID, seq, m.Time, links.previous) {
			return nil
		}
		if distance := seq - links.previous; distance <= walkSteps {
			for range distance {
				ok = it.Prev()
			}
		} else {
			ok = it.SeekGE(messageKey(&p, links.previous))
		}
		seq = links.previous
	}
	return nil
}
