package embedded

import (
	"bytes"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// messages walks through the messages of a conversation in both directions. A step
// or a seek that comes nowhere gives false, and err says whether something went wrong.
type messages struct {
	it     *pebble.Iterator
	place  place
	prefix []byte
	run    runReader
	at     int // in the run
	err    error
}

// messagesOf gives a walker over an iterator whose bounds, if any, leave room for all
// messages of the conversation.
func messagesOf(it *pebble.Iterator, p place) *messages {
	return &messages{it: it, place: p, prefix: prefix(&p, sectionMessage)}
}

// message gives the message that it is at; the body is valid until it moves.
func (m *messages) message() *stored { return &m.run.messages[m.at] }

func (m *messages) seq() uint64 { return m.message().Seq }

// seek goes to the first message at or after seq.
func (m *messages) seek(seq uint64) bool {
	if !m.enter(m.it.SeekGE(messageKey(&m.place, seq))) {
		return false
	}
	if first := m.seq(); seq > first {
		m.at = int(seq - first)
	}
	return true
}

// find goes to the message with this seq, which exists.
func (m *messages) find(seq uint64) error {
	if !m.seek(seq) || m.seq() != seq {
		return errors.Join(errCorrupt, m.err)
	}
	return nil
}

// seekBack goes to the newest message at or before seq.
func (m *messages) seekBack(seq uint64) bool {
	if m.seek(seq) && m.seq() == seq {
		return true
	}
	return m.err == nil && m.enterBack(m.it.SeekLT(messageKey(&m.place, seq)))
}

// newest goes to the newest message.
func (m *messages) newest() bool {
	return m.enterBack(m.it.SeekLT(prefix(&m.place, sectionMember)))
}

func (m *messages) next() bool {
	if m.at+1 < len(m.run.messages) {
		m.at++
		return true
	}
	return m.enter(m.it.Next())
}

func (m *messages) prev() bool {
	if m.at > 0 {
		m.at--
		return true
	}
	return m.enterBack(m.it.Prev())
}

// runSteps is how many runs the iterator goes back through step by step, which costs
// less than to search.
const runSteps = 8

// findBack is find for a message before the one that it is at.
func (m *messages) findBack(seq uint64) error {
	for range runSteps {
		if first := m.run.messages[0].Seq; seq >= first {
			if m.at = int(seq - first); m.at >= len(m.run.messages) {
				m.at = 0
				return errCorrupt // it lies between this run and the next one
			}
			return nil
		}
		if !m.enterBack(m.it.Prev()) {
			return errors.Join(errCorrupt, m.err)
		}
	}
	return m.find(seq)
}

// enter takes the run that the iterator has come to, if it is one of the conversation,
// and goes to its first message.
func (m *messages) enter(ok bool) bool {
	m.at = 0
	if !ok || !bytes.HasPrefix(m.it.Key(), m.prefix) {
		m.err = m.it.Error()
		return false
	}
	m.err = m.open()
	return m.err == nil
}

// enterBack is enter, but goes to the last message.
func (m *messages) enterBack(ok bool) bool {
	if !m.enter(ok) {
		return false
	}
	m.at = len(m.run.messages) - 1
	return true
}

func (m *messages) open() error {
	value, err := m.it.ValueAndErr()
	if err != nil {
		return err
	}
	if len(m.it.Key()) != messageSize {
		return errCorrupt
	}
	return m.run.read(keySeq(m.it.Key()), value)
}
