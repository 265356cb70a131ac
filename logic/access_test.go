package logic_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/hop"
	"gannet/logic"
	"gannet/protocol"
)

// Social is asked once for a batch, about what can exist, in the order of its frames.
func TestSocialIsAskedOnce(t *testing.T) {
	var calls [][]logic.Ask
	s, _ := newService(func(c *logic.Config) {
		c.Social = socialFunc(func(asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) {
			calls = append(calls, slices.Clone(asks))
			return all(asks, dst)
		})
	})
	forward(t, s, batch(
		send(1, 1, 2, 1, "a"), send(5, 1, 0, 2, "to nobody"), pushAck(3, 1, 2, 1, 0), read(2, 1, 1, 1, 0),
		asked{4, 1, protocol.AppendEmpty(nil, protocol.TypePong, 5)}))
	want := []logic.Ask{
		{User: 1, Conversation: to(2).Conversation(1)}, {User: 3, Conversation: to(2).Conversation(3)}, {User: 2, Conversation: to(1).Conversation(2)},
	}
	if len(calls) != 1 || !slices.Equal(calls[0], want) {
		t.Errorf("asked %+v, want %+v at once", calls, want)
	}
	forward(t, s, batch(send(5, 1, 0, 2, "to nobody")))
	if len(calls) != 1 {
		t.Error("asked although nothing can exist")
	}
}

// Rights are per frame: SEND needs to write, PUSHACK and READ to see.
func TestRights(t *testing.T) {
	for name, c := range map[string]struct {
		rights           logic.Rights
		sends, acks, see bool
	}{
		"nothing":         {0, false, false, false},
		"see":             {logic.MaySee, false, true, true},
		"write":           {logic.MayWrite, true, false, false},
		"both":            {logic.MaySee | logic.MayWrite, true, true, true},
		"what is unknown": {0xf8, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(config *logic.Config) {
				config.Social = socialFunc(func(asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) {
					for range asks {
						dst = append(dst, c.rights)
					}
					return dst, nil
				})
			})
			answers := r.forward(three()...)
			for i, may := range []bool{c.sends, c.acks, c.acks} {
				if may != (answers[i].frame.Type != protocol.TypeError) {
					t.Errorf("frame %d is answered with %#x", i, answers[i].frame.Type)
				}
				if !may {
					wantError(t, answers[i].frame, uint32(7+i), protocol.CodeBadTarget)
				}
			}
			f := r.query(1, protocol.History{Target: to(2)}.AppendFrame(nil, 5))
			if c.see != (f.Type == protocol.TypeMessages) {
				t.Errorf("HISTORY is answered with %#x", f.Type)
			}
			if !c.see {
				wantError(t, f, 5, protocol.CodeBadTarget)
			}
		})
	}
}

// Where nobody can say who may do what, nobody may do anything for now.
func TestHostileSocial(t *testing.T) {
	for name, answer := range map[string]socialFunc{
		"an error":        func(_ []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) { return dst, errors.New("no answer") },
		"no answer":       func([]logic.Ask, []logic.Rights) ([]logic.Rights, error) { return nil, nil },
		"too few answers": func(asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) { return all(asks[1:], dst) },
		"too many answers": func(asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) {
			return all(append(asks, asks...), dst)
		},
		"answers and an error": func(asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) {
			dst, _ = all(asks, dst)
			return dst, errors.New("no answer")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				well := false
				applied := 0
				s, l := newService(func(c *logic.Config) {
					c.Social = socialFunc(func(asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) {
						if well {
							return all(asks, dst)
						}
						return answer(asks, dst)
					})
					c.Log = logFunc(func(batches []*logic.Batch) error {
						applied++
						return appliedLog(batches)
					})
				})
				const n = 40
				for range n {
					time.Sleep(50 * time.Millisecond)
					answers := forward(t, s, batch(three()...))
					for i, a := range answers {
						wantError(t, a.frame, uint32(7+i), protocol.CodeUnavailable)
					}
					b, err := s.Query(t.Context(), &hop.Query{Identity: identity(1, 1), Frame: protocol.History{Target: to(2)}.AppendFrame(nil, 5)})
					if err != nil {
						t.Fatal(err)
					}
					wantError(t, one(t, b), 5, protocol.CodeUnavailable)
					again := &hop.Redelivery{Identity: identity(1, 1), Range: protocol.Range{Target: to(2), First: 1, Last: 2}}
					if b, err := s.Redeliver(t.Context(), again); err == nil || len(b) != 0 {
						t.Errorf("pushed again: %x", b)
					}
				}
				if applied != 0 {
					t.Errorf("%d batches were carried out", applied)
				}
				wantStat(t, s, "failed.access", 3*n)
				if lines := l.count(); lines < 1 || lines > 3 {
					t.Errorf("%d lines in 2 s", lines)
				}
				well = true
				if answers := forward(t, s, batch(three()...)); answers[0].frame.Type != protocol.TypeSendAck {
					t.Errorf("the next batch is answered with %#x", answers[0].frame.Type)
				}
			})
		})
	}
}
