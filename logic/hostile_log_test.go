package logic_test

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/directory"
	"gannet/logic"
	"gannet/protocol"
)

// newService makes a Service all of whose neighbours are well, but for those that
// change exchanges; its log lines are counted.
func newService(change func(*logic.Config)) (*logic.Service, *lines) {
	l := &lines{}
	c := logic.Config{
		Log: appliedLog, Social: all, Receipts: silent{}, Directory: directory.NewMemory(),
		Queues: 1, Server: server, Logger: slog.New(slog.NewTextHandler(l, nil)),
	}
	change(&c)
	return logic.New(c), l
}

// behaviour is how a log treats a batch of a SEND, a PUSHACK and a READ.
type behaviour struct {
	apply func(b *logic.Batch) error
	stat  string
	times uint64 // that one batch is counted
	ok    []int  // frames that are answered well all the same
}

var hostileLogs = map[string]behaviour{
	"gives an error": {func(*logic.Batch) error { return errors.New("no log there") }, "failed.log", 1, nil},
	"fails the batch": {func(b *logic.Batch) error {
		b.Err = logic.ErrUnavailable
		return nil
	}, "failed.log", 1, nil},
	"fails the batch and says yes": {func(b *logic.Batch) error {
		b.Err = logic.ErrUnavailable
		return appliedLog([]*logic.Batch{b})
	}, "failed.log", 1, nil},
	"gives an error and says yes": {func(b *logic.Batch) error {
		return errors.Join(appliedLog([]*logic.Batch{b}), errors.New("no log there"))
	}, "failed.log", 1, nil},
	"changes nothing": {func(*logic.Batch) error { return nil }, "failed.entry", 3, nil},
	"knows nothing of one": {func(b *logic.Batch) error {
		_ = appliedLog([]*logic.Batch{b})
		b.Entries[0].Outcome = logic.Unknown
		return nil
	}, "failed.entry", 1, []int{1, 2}},
	"says what nobody knows": {func(b *logic.Batch) error {
		for i := range b.Entries {
			b.Entries[i].Outcome, b.Entries[i].Seq = 77, 1
		}
		return nil
	}, "hostile.outcome", 3, nil},
	"gives seq 0": {func(b *logic.Batch) error {
		for i := range b.Entries {
			b.Entries[i].Outcome, b.Entries[i].Seq = logic.Applied, 0
		}
		return nil
	}, "hostile.outcome", 1, []int{1, 2}},
	"repeats seq 0": {func(b *logic.Batch) error {
		for i := range b.Entries {
			b.Entries[i].Outcome, b.Entries[i].Seq = logic.Repeated, 0
		}
		return nil
	}, "hostile.outcome", 1, []int{1, 2}},
	"refuses and does not say why": {func(b *logic.Batch) error {
		for i := range b.Entries {
			b.Entries[i].Outcome = logic.Refused
		}
		return nil
	}, "hostile.outcome", 3, nil},
	"refuses with a code that nobody knows": {func(b *logic.Batch) error {
		for i := range b.Entries {
			b.Entries[i].Outcome, b.Entries[i].Code = logic.Refused, 60000
		}
		return nil
	}, "hostile.outcome", 3, nil},
	"takes the entries away": {func(b *logic.Batch) error {
		b.Entries = nil
		return nil
	}, "failed.entry", 3, nil},
	"gives other entries": {func(b *logic.Batch) error {
		b.Entries, b.Queue, b.Blob = make([]logic.Entry, 99), -5, nil
		return nil
	}, "failed.entry", 3, nil},
}

// three is a SEND, a PUSHACK and a READ, all of which want an answer.
func three() []asked {
	return []asked{send(1, 1, 2, 7, "hello"), pushAck(1, 1, 2, 1, 8), read(1, 1, 2, 1, 9)}
}

// Whatever the log does, everybody who waits hears something, it is counted, said
// once a second at most, and the next batch is carried out.
func TestHostileLog(t *testing.T) {
	for name, c := range hostileLogs {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				well := false
				s, l := newService(func(config *logic.Config) {
					config.Log = logFunc(func(batches []*logic.Batch) error {
						if well {
							return appliedLog(batches)
						}
						return c.apply(batches[0])
					})
				})
				const n = 40
				for range n {
					time.Sleep(100 * time.Millisecond)
					answers := forward(t, s, batch(three()...))
					if len(answers) != 3 {
						t.Fatalf("%d answers, want 3", len(answers))
					}
					fine := map[int]bool{}
					for _, i := range c.ok {
						fine[i] = true
					}
					for i, a := range answers {
						if !fine[i] {
							wantError(t, a.frame, uint32(7+i), protocol.CodeUnavailable)
						} else if a.frame.Type == protocol.TypeError || a.frame.Request != uint32(7+i) {
							t.Errorf("answer %d is %#x for %d", i, a.frame.Type, a.frame.Request)
						}
					}
				}
				wantStat(t, s, c.stat, n*c.times)
				if lines := l.count(); lines < 3 || lines > 5 {
					t.Errorf("%d lines in 4 s", lines)
				}
				well = true
				answers := forward(t, s, batch(three()...))
				if len(answers) != 3 || answers[0].frame.Type != protocol.TypeSendAck || answers[1].frame.Type != protocol.TypeDone || answers[2].frame.Type != protocol.TypeDone {
					t.Errorf("the next batch is answered with %+v", answers)
				}
				wantStat(t, s, c.stat, n*c.times)
			})
		})
	}
}

// A log that panics ends its batch and nothing else: the gateway, or the server of
// the call, catches it, and the service is as it was.
func TestLogThatPanics(t *testing.T) {
	panics := true
	s, _ := newService(func(config *logic.Config) {
		config.Log = logFunc(func(batches []*logic.Batch) error {
			if panics {
				panic("a bug")
			}
			return appliedLog(batches)
		})
	})
	for range 10 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			forward(t, s, batch(send(1, 1, 2, 1, "a"), send(1, 1, 2, 2, "b"), send(3, 1, 2, 3, "c")))
		}()
	}
	panics = false
	answers := forward(t, s, batch(send(1, 1, 2, 7, "hello")))
	if len(answers) != 1 {
		t.Fatalf("the next batch is answered with %+v", answers)
	}
	wantAck(t, answers[0].frame, 7, 1, 0)
}

// A message never has a receipt, whatever the log says of it.
func TestMessageThatRose(t *testing.T) {
	r := newRig(t, func(c *logic.Config) {
		c.Log = logFunc(func(batches []*logic.Batch) error {
			for i := range batches[0].Entries {
				e := &batches[0].Entries[i]
				e.Outcome, e.Seq, e.Rose, e.Delivered = logic.Applied, 1, true, 1
			}
			return nil
		})
	})
	r.forward(three()...)
	r.wantReceipts(
		protocol.Receipt{Target: to(2), Delivered: 1, User: 1, Device: 1},
		protocol.Receipt{Target: to(2), Delivered: 1, User: 1, Device: 1})
}
