package logic_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// state is user 1's conversation with a peer.
func state(peer uint64, change func(m *protocol.Message)) protocol.State {
	m := protocol.Message{Target: to(peer), Seq: 1, Time: 1, Sender: 1, Device: 5, ClientID: 1, Content: protocol.ContentText, Body: []byte("hello")}
	if change != nil {
		change(&m)
	}
	return protocol.State{Target: to(peer), Head: 1, LastSize: 5, Last: m.AppendPayload(nil)}
}

// inbox gives a page of conversations with these peers.
func inbox(peers ...uint64) logic.InboxPage {
	p := logic.InboxPage{Next: 9}
	for _, peer := range peers {
		p.States = append(p.States, state(peer, nil))
		p.After = to(peer)
	}
	return p
}

// Whatever an inbox gives, a client that goes from page to page hears unavailable, and
// neither reads what it cannot decode nor goes in a circle.
func TestHostileInbox(t *testing.T) {
	changed := func(change func(*logic.InboxPage), peers ...uint64) func(logic.InboxQuery) (logic.InboxPage, error) {
		return func(logic.InboxQuery) (logic.InboxPage, error) {
			p := inbox(peers...)
			change(&p)
			return p, nil
		}
	}
	for name, give := range map[string]func(q logic.InboxQuery) (logic.InboxPage, error){
		"an error": func(logic.InboxQuery) (logic.InboxPage, error) {
			return logic.InboxPage{}, errors.New("no store there")
		},
		"a page and an error": func(logic.InboxQuery) (logic.InboxPage, error) { return inbox(6, 7), errors.New("no store there") },
		"more than was asked": changed(func(*logic.InboxPage) {}, 6, 7, 8, 9, 10),
		"a preview that is no message": changed(func(p *logic.InboxPage) {
			p.States[1].Last = []byte("no message")
		}, 6, 7),
		"a preview cut": changed(func(p *logic.InboxPage) {
			p.States[1].Last = p.States[1].Last[:len(p.States[1].Last)-1]
		}, 6, 7),
		"a preview of everything": changed(func(p *logic.InboxPage) {
			p.States[1] = state(7, func(m *protocol.Message) { m.Body = make([]byte, protocol.MaxPreview+1) })
		}, 6, 7),
		"a preview of another conversation": changed(func(p *logic.InboxPage) {
			p.States[1].Last = state(8, nil).Last
		}, 6, 7),
		"conversations from the front again": changed(func(*logic.InboxPage) {}, 4, 5),
		"the last one again":                 changed(func(*logic.InboxPage) {}, 5, 6),
		"conversations out of order":         changed(func(*logic.InboxPage) {}, 7, 6, 8),
		"a conversation twice":               changed(func(*logic.InboxPage) {}, 6, 6),
		"more, and where it was":             changed(func(p *logic.InboxPage) { p.More, p.After = true, to(5) }),
		"more, from before":                  changed(func(p *logic.InboxPage) { p.More, p.After = true, to(2) }),
		"more, from the front":               changed(func(p *logic.InboxPage) { p.More, p.After = true, protocol.Target{} }),
		"on before what was given":           changed(func(p *logic.InboxPage) { p.More, p.After = true, to(6) }, 6, 7),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				well := false
				s, l := newService(func(c *logic.Config) {
					c.Inbox = inboxFunc(func(q logic.InboxQuery) (logic.InboxPage, error) {
						if well {
							return inbox(6, 7), nil
						}
						return give(q)
					})
				})
				query := &hop.Query{Identity: identity(1, 1), Frame: protocol.Sync{After: to(5), Limit: 4}.AppendFrame(nil, 3)}
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
				var page protocol.Synced
				if f := ask(); f.Type != protocol.TypeSynced || page.Decode(f.Payload) != nil || page.Count != 2 || page.Next != 9 || page.After != to(7) {
					t.Errorf("the next page is %#x, %+v", f.Type, page)
				}
			})
		})
	}
}

// A page that no frame can hold is none, however few conversations it has.
func TestInboxThatNoFrameHolds(t *testing.T) {
	const peers = 255
	s, _ := newService(func(c *logic.Config) {
		c.Inbox = inboxFunc(func(logic.InboxQuery) (logic.InboxPage, error) {
			var p logic.InboxPage
			for peer := uint64(2); peer < 2+peers; peer++ {
				p.States = append(p.States, state(peer, func(m *protocol.Message) { m.Body = make([]byte, protocol.MaxPreview) }))
				p.After = to(peer)
			}
			return p, nil
		})
	})
	b, err := s.Query(t.Context(), &hop.Query{Identity: identity(1, 1), Frame: protocol.Sync{}.AppendFrame(nil, 3)})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, one(t, b), 3, protocol.CodeUnavailable)
	wantStat(t, s, "hostile.page", 1)
}

// The store is asked for no more than a frame holds, and for what the client asked.
func TestWhatAnInboxIsAsked(t *testing.T) {
	var asked []logic.InboxQuery
	s, _ := newService(func(c *logic.Config) {
		c.Inbox = inboxFunc(func(q logic.InboxQuery) (logic.InboxPage, error) {
			asked = append(asked, q)
			return logic.InboxPage{After: q.After}, nil
		})
	})
	for _, q := range []protocol.Sync{{}, {Since: 5, After: to(6), Limit: 7, Unacked: true}} {
		if _, err := s.Query(t.Context(), &hop.Query{Identity: identity(1, 3), Frame: q.AppendFrame(nil, 3)}); err != nil {
			t.Fatal(err)
		}
	}
	room := protocol.MaxFrame + 4 - len(protocol.Synced{}.AppendFrame(nil, 0))
	want := []logic.InboxQuery{
		{User: 1, Device: 3, Limit: protocol.MaxPage, Room: room},
		{User: 1, Device: 3, Since: 5, After: to(6), Unacked: true, Limit: 7, Room: room},
	}
	if len(asked) != 2 || asked[0] != want[0] || asked[1] != want[1] {
		t.Errorf("asked %+v, want %+v", asked, want)
	}
}
