package view

import (
	"encoding/binary"
	"fmt"

	"gannet/logic/ledger"
	"gannet/protocol"
)

// pack builds an argument of a script in MessagePack, which Redis takes apart faster than
// Lua could. Only lists and strings are needed.
type pack struct{ b []byte }

func (p *pack) reset() { p.b = p.b[:0] }

// list begins a list of n elements.
func (p *pack) list(n int) {
	p.b = binary.BigEndian.AppendUint32(append(p.b, 0xdd), uint32(n))
}

// open begins a list whose length is told to close.
func (p *pack) open() (at int) {
	p.list(0)
	return len(p.b) - 4
}

func (p *pack) close(at, n int) { binary.BigEndian.PutUint32(p.b[at:], uint32(n)) }

func (p *pack) text(s string) { p.b = append(append(p.b, 0xa0|byte(len(s))), s...) } // of fewer than 32 bytes

// begin begins a string, which the caller appends to b and ends with end.
func (p *pack) begin() (at int) {
	p.b = append(p.b, 0xda, 0, 0)
	return len(p.b)
}

func (p *pack) end(at int) { binary.BigEndian.PutUint16(p.b[at-2:], uint16(len(p.b)-at)) }

func (p *pack) place(c protocol.Conversation) {
	at := p.begin()
	p.b = appendPlace(p.b, c)
	p.end(at)
}

// conversation packs a conversation. message is its newest one, whole.
func (p *pack) conversation(c *ledger.Loaded, message []byte) error {
	fields := 2 + len(c.Members) + len(c.Devices)
	if fields > maxFields {
		return fmt.Errorf("%w: %d fields of %v", ErrLarge, fields, c.Key)
	}
	p.list(1 + 2*fields)
	p.place(c.Key)
	p.text("p")
	at := p.begin()
	p.b = appendProgress(p.b, &c.Progress)
	p.end(at)
	p.text("l")
	at = p.begin()
	var err error
	if p.b, err = appendLast(p.b, message); err != nil {
		return err
	}
	p.end(at)
	for i := range c.Members {
		at = p.begin()
		p.b = appendMemberField(p.b, &c.Members[i])
		p.end(at)
		at = p.begin()
		p.b = appendMember(p.b, &c.Members[i])
		p.end(at)
	}
	for i := range c.Devices {
		at = p.begin()
		p.b = appendDeviceField(p.b, &c.Devices[i])
		p.end(at)
		at = p.begin()
		p.b = appendDevice(p.b, &c.Devices[i])
		p.end(at)
	}
	return nil
}

// enter packs the entries of inboxes that a conversation begins with, and says how many.
func (p *pack) enter(c protocol.Conversation) int {
	list := users(c)
	for _, u := range list {
		p.list(2)
		at := p.begin()
		p.b = binary.BigEndian.AppendUint64(p.b, u)
		p.end(at)
		at = p.begin()
		p.b = appendTarget(p.b, c.Target(u))
		p.end(at)
	}
	return len(list)
}
