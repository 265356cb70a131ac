package logic_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// items encodes messages of users 1 and 2 as a page holds them.
func items(change func(m *protocol.Message), seqs ...uint64) (b []byte) {
	for _, seq := range seqs {
		m := protocol.Message{Target: to(2), Seq: seq, Time: 1, Sender: 1, Device: 5, ClientID: seq, Content: protocol.ContentText, Body: []byte("hello")}
		if change != nil {
			change(&m)
		}
		b = protocol.AppendMessage(b, m.AppendPayload(nil))
	}
	return b
}

// fill makes a page of the messages first to last of a conversation up to head.
func fill(p *logic.Page, first, last, head uint64) {
	p.First, p.Last, p.Head = first, last, head
	p.Items = items(nil, seqs(first, last)...)
	p.Count = int(last + 1 - first)
}

// The pages that a hostile history gives for seqs 5 to 8 of a conversation whose head
// is 10, of at most 4 messages.
var hostilePages = map[string]func(p *logic.Page) error{
	"an error":                 func(*logic.Page) error { return errors.New("no store there") },
	"an error of the page":     func(p *logic.Page) error { p.Err = errors.New("no such disk"); return nil },
	"a page and an error":      func(p *logic.Page) error { fill(p, 5, 8, 10); p.Err = errors.New("no such disk"); return nil },
	"nothing at all":           func(p *logic.Page) error { p.Head = 10; return nil },
	"a message too many":       func(p *logic.Page) error { fill(p, 5, 9, 10); return nil },
	"a count too high":         func(p *logic.Page) error { fill(p, 5, 8, 10); p.Count++; return nil },
	"a count too low":          func(p *logic.Page) error { fill(p, 5, 8, 10); p.Count--; return nil },
	"a count below 0":          func(p *logic.Page) error { fill(p, 5, 8, 10); p.Count = -1; return nil },
	"nothing, a count below 0": func(p *logic.Page) error { p.First, p.Last, p.Head, p.Count = 5, 8, 10, -1; return nil },
	"a message of nothing": func(p *logic.Page) error {
		p.First, p.Last, p.Head, p.Count, p.Items = 5, 4, 4, 1, items(nil, 5)
		return nil
	},
	"no items with a count": func(p *logic.Page) error { fill(p, 5, 8, 10); p.Items = nil; return nil },
	"an item cut":           func(p *logic.Page) error { fill(p, 5, 8, 10); p.Items = p.Items[:len(p.Items)-1]; return nil },
	"a byte too many":       func(p *logic.Page) error { fill(p, 5, 8, 10); p.Items = append(p.Items, 0); return nil },
	"an item of 4 GiB":      func(p *logic.Page) error { fill(p, 5, 5, 10); binary.BigEndian.PutUint32(p.Items, 1<<32-1); return nil },
	"items that are no messages": func(p *logic.Page) error {
		fill(p, 5, 5, 10)
		p.Items = protocol.AppendMessage(nil, []byte("no message"))
		return nil
	},
	"a body over the limit": func(p *logic.Page) error {
		fill(p, 5, 5, 10)
		p.Items = items(func(m *protocol.Message) { m.Body = make([]byte, protocol.MaxBody+1) }, 5)
		return nil
	},
	"an item that no frame holds": func(p *logic.Page) error {
		fill(p, 5, 5, 10)
		p.Items = items(func(m *protocol.Message) { m.Body = make([]byte, 1<<20) }, 5)
		return nil
	},
	"messages that together no frame holds": func(p *logic.Page) error {
		fill(p, 5, 6, 10)
		p.Items = items(func(m *protocol.Message) { m.Body = make([]byte, protocol.MaxBody) }, 5, 6)
		return nil
	},
	"messages of others": func(p *logic.Page) error {
		fill(p, 5, 8, 10)
		p.Items = items(func(m *protocol.Message) { m.Target = to(3) }, 5, 6, 7, 8)
		return nil
	},
	"messages in the wrong order": func(p *logic.Page) error { fill(p, 5, 8, 10); p.Items = items(nil, 6, 5, 7, 8); return nil },
	"a message twice":             func(p *logic.Page) error { fill(p, 5, 8, 10); p.Items = items(nil, 5, 6, 6, 8); return nil },
	"messages before the first":   func(p *logic.Page) error { fill(p, 5, 8, 10); p.Items = items(nil, 4, 5, 6, 7); return nil },
	"messages behind the last":    func(p *logic.Page) error { fill(p, 5, 8, 10); p.Items = items(nil, 6, 7, 8, 9); return nil },
	"messages beyond the head":    func(p *logic.Page) error { fill(p, 5, 8, 7); return nil },
	"another range":               func(p *logic.Page) error { fill(p, 1, 4, 10); return nil },
	"messages of an empty range":  func(p *logic.Page) error { fill(p, 5, 8, 10); p.Last = 4; return nil },
	"nothing although there is something": func(p *logic.Page) error {
		p.First, p.Last, p.Head = 5, 4, 10
		return nil
	},
}

// Whatever a history gives, a client hears unavailable and nothing is pushed again; it
// is counted, said once a second at most, and the next page goes out.
func TestHostileHistory(t *testing.T) {
	for name, give := range hostilePages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				well := false
				s, l := newService(func(c *logic.Config) {
					c.History = historyFunc(func(p *logic.Page) error {
						if well {
							fill(p, 5, 8, 10)
							return nil
						}
						return give(p)
					})
				})
				query := &hop.Query{
					Identity: identity(2, 1),
					Frame:    protocol.History{Target: to(1), Seq: 5, Limit: 4}.AppendFrame(nil, 3),
				}
				ask := func() protocol.Frame {
					t.Helper()
					b, err := s.Query(t.Context(), query)
					if err != nil {
						t.Fatal(err)
					}
					return one(t, b)
				}
				const n = 30
				for range n {
					wantError(t, ask(), 3, protocol.CodeUnavailable)
					time.Sleep(100 * time.Millisecond)
				}
				stats := s.Stats()
				if stats["failed.read"]+stats["hostile.page"] != n {
					t.Errorf("counted: %v", stats)
				}
				if lines := l.count(); lines < 2 || lines > 4 {
					t.Errorf("%d lines in 3 s", lines)
				}
				well = true
				var page protocol.Messages
				if f := ask(); f.Type != protocol.TypeMessages || page.Decode(f.Payload) != nil || page.Count != 4 {
					t.Errorf("the next page is %#x, %+v", f.Type, page)
				}
			})
		})
	}
}

// The same for what is pushed again.
func TestHostileHistoryOfARedelivery(t *testing.T) {
	for name, give := range hostilePages {
		t.Run(name, func(t *testing.T) {
			well := false
			s, _ := newService(func(c *logic.Config) {
				c.History = historyFunc(func(p *logic.Page) error {
					if well {
						fill(p, 5, 8, 10)
						return nil
					}
					return give(p)
				})
			})
			again := &hop.Redelivery{Identity: identity(2, 1), Range: protocol.Range{Target: to(1), First: 5, Last: 8}}
			if b, err := s.Redeliver(t.Context(), again); !errors.Is(err, logic.ErrUnavailable) || len(b) != 0 {
				t.Errorf("pushed again: %d bytes, %v", len(b), err)
			}
			if stats := s.Stats(); stats["failed.read"]+stats["hostile.page"] != 1 {
				t.Errorf("counted: %v", stats)
			}
			well = true
			if b, err := s.Redeliver(t.Context(), again); err != nil || len(b) == 0 {
				t.Errorf("the next one: %d bytes, %v", len(b), err)
			}
		})
	}
}

// A page backward must lie where it was asked for, too.
func TestHostileHistoryBackward(t *testing.T) {
	for name, c := range map[string]struct {
		seq  uint64
		give func(p *logic.Page)
		ok   bool
	}{
		"the page":                            {8, func(p *logic.Page) { fill(p, 5, 8, 10) }, true},
		"from the head":                       {0, func(p *logic.Page) { fill(p, 7, 10, 10) }, true},
		"nothing of nothing":                  {8, func(p *logic.Page) { p.First = 1 }, true},
		"behind where it begins":              {8, func(p *logic.Page) { fill(p, 6, 9, 10) }, false},
		"beyond the head":                     {0, func(p *logic.Page) { fill(p, 7, 10, 9) }, false},
		"seq 0":                               {8, func(p *logic.Page) { fill(p, 1, 3, 10); p.First = 0 }, false},
		"nothing although there is something": {8, func(p *logic.Page) { p.First, p.Last, p.Head = 9, 8, 10 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newService(func(config *logic.Config) {
				config.History = historyFunc(func(p *logic.Page) error { c.give(p); return nil })
			})
			frame := protocol.History{Target: to(1), Direction: protocol.Backward, Seq: c.seq, Limit: 4}.AppendFrame(nil, 3)
			b, err := s.Query(t.Context(), &hop.Query{Identity: identity(2, 1), Frame: frame})
			if err != nil {
				t.Fatal(err)
			}
			if f := one(t, b); c.ok != (f.Type == protocol.TypeMessages) {
				t.Errorf("answered with %#x", f.Type)
			} else if !c.ok {
				wantError(t, f, 3, protocol.CodeUnavailable)
			}
		})
	}
}

// Holes are no fault: a page may be complete without a message.
func TestPageWithHoles(t *testing.T) {
	s, _ := newService(func(c *logic.Config) {
		c.History = historyFunc(func(p *logic.Page) error {
			p.First, p.Last, p.Head, p.Count, p.Items = 5, 9, 10, 2, items(nil, 6, 9)
			return nil
		})
	})
	b, err := s.Query(t.Context(), &hop.Query{Identity: identity(2, 1), Frame: protocol.History{Target: to(1), Seq: 5}.AppendFrame(nil, 3)})
	if err != nil {
		t.Fatal(err)
	}
	var page protocol.Messages
	if f := one(t, b); f.Type != protocol.TypeMessages || page.Decode(f.Payload) != nil || page.First != 5 || page.Last != 9 || page.Count != 2 {
		t.Errorf("answered with %+v", page)
	}
	wantNoTrouble(t, s)
}
