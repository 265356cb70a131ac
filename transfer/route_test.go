package transfer_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/protocol"
	"gannet/transfer"
	"gannet/transfer/embedded"
)

func TestWhoGetsAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := embedded.NewQueue(1)
		s := newScene(t, 1, func(c *transfer.Config) { c.Queue = q })
		s.device(1, 10, 7, 100) // the sender's
		s.device(1, 11, 8, 101) // the sender's other one, at another gateway
		s.device(2, 10, 7, 102) // the receiver's, with a device id that the sender has too
		s.device(2, 12, 8, 103)
		s.device(3, 13, 7, 104) // nobody's business
		q.Put(t.Context(), record(0, 1, message(1, 10, 2, "a"), receipt(2, 12, 1), message(2, 12, 1, "b")))
		q.Put(t.Context(), record(0, 2, message(3, 13, 3, "note to myself")))
		q.Put(t.Context(), record(0, 3, message(1, 10, 2, "c")))
		synctest.Wait()
		s.got(7, 100, "receipt", "b")
		s.got(8, 101, "a", "receipt", "b", "c")
		s.got(7, 102, "a", "receipt", "b", "c")
		s.got(8, 103, "a", "c")
		s.got(7, 104)
		s.stat("records", 3)
		s.stat("frames", 5)
		s.stat("deliveries", 12)
	})
}

// A hole names its conversation as one user does, so it goes to that user's devices
// alone, and to all of them: before the message that comes behind it.
func TestHoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, nil)
		s.device(1, 10, 7, 100)
		s.device(1, 11, 8, 101)
		s.device(2, 10, 7, 102)
		s.device(3, 10, 7, 103)
		s.queue.put(0, hole(1, 2), hole(2, 1), message(1, 10, 2, "a"))
		stranger := hole(3, 2) // of a conversation that is not this user's
		stranger.Conversation = to(2).Conversation(1)
		s.queue.put(0, stranger)
		synctest.Wait()
		s.got(7, 100, "no message with 2 up to 9")
		s.got(8, 101, "no message with 2 up to 9", "a")
		s.got(7, 102, "no message with 1 up to 9", "a")
		s.got(7, 103)
		s.queue.allDone(t)
	})
}

// A record without frames, or for nobody who is connected, is done all the same.
func TestNobodyIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, nil)
		s.queue.put(0, message(1, 10, 2, "to nobody"))
		s.queue.put(0)
		s.queue.put(0, entry{RecordEntry: hop.RecordEntry{Op: hop.OpRead, Conversation: to(2).Conversation(1), User: 1, Device: 10, Seq: 1}},
			entry{RecordEntry: hop.RecordEntry{Op: hop.OpAck, Conversation: to(2).Conversation(1), User: 1, Device: 10, Seq: 1}})
		synctest.Wait()
		s.queue.allDone(t)
		s.stat("frames", 1)
		s.stat("deliveries", 0)
		if list := s.server.Unreadable(); len(list) != 0 {
			t.Errorf("unreadable: %v", list)
		}
	})
}

func TestSystemMessagesGoToTheirUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, nil)
		s.device(1, 10, 7, 100)
		s.device(2, 10, 7, 102)
		e := message(0, 0, 0, "news")
		e.Conversation = protocol.Conversation{Kind: protocol.KindSystem, A: 1}
		s.queue.put(0, e)
		synctest.Wait()
		s.got(7, 100, "news")
		s.got(7, 102)
	})
}

func TestReceiptsGoPastTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, 1, nil)
		s.device(1, 10, 7, 100)
		s.device(2, 10, 7, 102)
		s.device(2, 11, 8, 103)
		r := record(0, 0, receipt(2, 10, 1))
		if err := s.server.Receipts(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		s.got(7, 100, "receipt")
		s.got(7, 102) // where it happened
		s.got(8, 103, "receipt")
		s.stat("receipts", 1)
		s.stat("records", 0)
	})
}

// answering is a directory that answers as the test says.
type answering struct {
	transfer.Directory
	calls  atomic.Int32
	answer func(call int, lookups []directory.Lookup) ([]directory.Answer, []directory.Device, error)
}

func (d *answering) Devices(ctx context.Context, lookups []directory.Lookup, answers []directory.Answer, devices []directory.Device) ([]directory.Answer, []directory.Device, error) {
	if a, dev, err := d.answer(int(d.calls.Add(1)), lookups); a != nil || err != nil {
		return a, dev, err
	}
	return d.Directory.Devices(ctx, lookups, answers, devices)
}

// directed starts a scene whose directory answers as the test says, and by the
// truth where that gives nothing.
func directed(t *testing.T, answer func(call int, lookups []directory.Lookup) ([]directory.Answer, []directory.Device, error)) (*scene, *answering) {
	d := &answering{answer: answer}
	s := newScene(t, 1, func(c *transfer.Config) {
		d.Directory = c.Directory
		c.Directory = d
	})
	s.device(1, 10, 7, 100)
	s.device(2, 10, 7, 102)
	s.device(3, 10, 7, 103)
	return s, d
}

// A directory that does not answer is asked again, at a pace that does not grow
// into a load of its own, and says so once a second at most.
func TestDirectoryThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		s, d := directed(t, func(int, []directory.Lookup) ([]directory.Answer, []directory.Device, error) {
			if !up.Load() {
				return nil, nil, errors.New("no answer")
			}
			return nil, nil, nil
		})
		s.queue.put(0, message(1, 10, 2, "a"))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		calls := d.calls.Load()
		if calls < 10 || calls > 20 {
			t.Errorf("asked %d times in 20 s", calls)
		}
		s.stat("retry.lookup", uint64(calls))
		if n := s.lines.with("directory"); n < 5 {
			t.Errorf("%d lines in 20 s", n)
		}
		if err := s.server.Receipts(t.Context(), record(0, 0, receipt(2, 10, 1))); err == nil {
			t.Error("receipts went out without a directory")
		}
		up.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.queue.put(0, message(1, 10, 2, "b"))
		synctest.Wait()
		s.got(7, 102, "a", "b")
		s.queue.allDone(t)
	})
}

// A directory that does not answer any queue is worth one line a second.
func TestDirectoryIsSaidSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queues = 16
		s := newScene(t, queues, func(c *transfer.Config) {
			c.Directory = &answering{answer: func(int, []directory.Lookup) ([]directory.Answer, []directory.Device, error) {
				return nil, nil, errors.New("no answer")
			}}
		})
		for n := range queues {
			s.queue.put(n, message(1, 10, 2, "a"))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(18 * time.Second)
		synctest.Wait()
		if n := s.lines.with("directory"); n < 10 || n > 21 {
			t.Errorf("%d lines in 20 s, for %d failures", n, s.server.Stats()["retry.lookup"])
		}
	})
}

// Whatever a directory answers, nobody gets what is not for them, nothing ends, and
// once it answers well everything goes on.
func TestHostileDirectory(t *testing.T) {
	span := func(start, end uint32) directory.Answer {
		return directory.Answer{Version: 1, Devices: hop.Span{Start: start, End: end}}
	}
	device := func(user uint64) directory.Device {
		return directory.Device{User: user, Device: 10, At: hop.Address{Gateway: 7, Conn: 100 + user}}
	}
	own := []directory.Device{device(1), device(2)}
	for name, answer := range map[string]func() ([]directory.Answer, []directory.Device, error){
		"too few answers": func() ([]directory.Answer, []directory.Device, error) {
			return []directory.Answer{span(0, 1)}, own, nil
		},
		"no answer and no error": func() ([]directory.Answer, []directory.Device, error) { return []directory.Answer{}, nil, nil },
		"too many answers": func() ([]directory.Answer, []directory.Device, error) {
			return []directory.Answer{span(0, 1), span(1, 2), span(0, 0)}, own, nil
		},
		"devices beyond the list": func() ([]directory.Answer, []directory.Device, error) {
			return []directory.Answer{span(0, 1), span(1, 3)}, own, nil
		},
		"devices that end before": func() ([]directory.Answer, []directory.Device, error) {
			return []directory.Answer{span(0, 1), span(2, 1)}, own, nil
		},
		"the same as nobody knows": func() ([]directory.Answer, []directory.Device, error) {
			return []directory.Answer{span(0, 1), {Version: 1, Same: true}}, own, nil
		},
		"devices of somebody else": func() ([]directory.Answer, []directory.Device, error) {
			return []directory.Answer{span(0, 1), span(1, 2)}, []directory.Device{device(1), device(3)}, nil
		},
		"devices of the other of two": func() ([]directory.Answer, []directory.Device, error) {
			return []directory.Answer{span(1, 2), span(0, 1)}, own, nil
		},
		"a panic": func() ([]directory.Answer, []directory.Device, error) { panic("a bug") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := directed(t, func(call int, _ []directory.Lookup) ([]directory.Answer, []directory.Device, error) {
					if call <= 3 {
						return answer()
					}
					return nil, nil, nil
				})
				s.queue.put(0, message(2, 99, 1, "a"))
				time.Sleep(time.Second)
				synctest.Wait()
				s.queue.put(0, message(2, 99, 1, "b"))
				synctest.Wait()
				s.got(7, 100, "a", "b")
				s.got(7, 102, "a", "b")
				s.got(7, 103)
				s.stat("retry.lookup", 3)
				s.queue.allDone(t)
			})
		})
	}
}

// failing is a queue that cannot be followed at first.
type failing struct {
	*queue
	failures []func() error
}

func (q *failing) Follow(ctx context.Context, n int, take func(context.Context, *hop.Record, func())) error {
	if len(q.failures) > 0 {
		fail := q.failures[0]
		q.failures = q.failures[1:]
		return fail()
	}
	return q.queue.Follow(ctx, n, take)
}

func TestQueueThatCannotBeFollowedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &failing{queue: newQueue(1), failures: []func() error{
			func() error { return errors.New("no broker") },
			func() error { panic("a bug") },
			func() error { return nil },
		}}
		s := newScene(t, 1, func(c *transfer.Config) { c.Queue = q })
		s.device(2, 10, 7, 102)
		q.put(0, message(1, 10, 2, "a"))
		synctest.Wait()
		s.got(7, 102, "a")
		s.stat("retry.follow", 3)
		if n := s.lines.with("followed"); n != 3 {
			t.Errorf("%d lines", n)
		}
		if !slices.Equal(s.gateways.pushed(7), []string{"a"}) {
			t.Errorf("pushed %q", s.gateways.pushed(7))
		}
	})
}
