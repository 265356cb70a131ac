package load

import (
	"strings"
	"sync/atomic"
	"testing"

	"gannet/benchmark/report"
)

const testRun = 7

// conversation is two users' checkers, fed by hand: alice (1) and bob (2).
type conversation struct {
	faults     report.Faults
	alice, bob checker
	again      atomic.Uint64 // what alice was told to send again
	fill       filling
}

func newConversation() *conversation {
	c := &conversation{fill: filling(1)}
	c.alice = checker{run: testRun, self: 1, peer: 2, faults: &c.faults, again: new(atomic.Uint64)}
	c.bob = checker{run: testRun, self: 2, peer: 1, faults: &c.faults, again: &c.again}
	return c
}

func (c *conversation) body(sender, counter uint64) []byte {
	body := make([]byte, 128)
	c.fill.write(body, header{Run: testRun, Sender: sender, Counter: counter, Intended: int64(counter)})
	return body
}

// hears gives bob alice's message under its seq.
func (c *conversation) hears(seq, counter uint64) { c.bob.received(seq, 1, c.body(1, counter)) }

func TestCheckerTellsFaults(t *testing.T) {
	cases := []struct {
		name   string
		events func(c *conversation)
		want   []string // a part of each fault, in order
	}{
		{"one message late that was sent again, and one that was not", func(c *conversation) {
			c.again.Store(1)
			for seq, counter := range []uint64{2, 1, 4, 3} {
				c.hears(uint64(seq+1), counter)
			}
			c.bob.finish(4)
		}, []string{"message 3 of user 1 came after 4: reordered"}},
		{"late ones where that may be, and one of them lost, one repeated", func(c *conversation) {
			c.bob.mixed = true
			for seq, counter := range []uint64{3, 1, 2, 5} {
				c.hears(uint64(seq+1), counter)
			}
			c.hears(5, 1)
			c.bob.finish(5)
		}, []string{"message 1 of user 1 came again", "1 of the 5 acked messages of user 1 were lost, the first is message 4"}},
		{"nothing wrong", func(c *conversation) {
			for n := uint64(1); n <= 200; n++ {
				c.hears(n, n)
			}
			c.bob.finish(200)
		}, nil},
		{"both talk, and a push overtakes the ack of an own message", func(c *conversation) {
			c.hears(2, 1)
			c.bob.acked(1)
			c.hears(3, 2)
			c.bob.acked(4)
			c.bob.finish(2)
		}, nil},
		{"delivered but never acked", func(c *conversation) {
			c.hears(1, 1)
			c.hears(2, 2)
			c.bob.finish(1)
		}, nil},
		{"one lost in the middle", func(c *conversation) {
			c.hears(1, 1)
			c.hears(3, 3)
			c.bob.finish(3)
		}, []string{"1 of the 3 acked messages of user 1 were lost, the first is message 2", "1 gaps up to seq 3, the first at seq 2"}},
		{"the last ones lost", func(c *conversation) {
			c.hears(1, 1)
			c.bob.finish(70)
		}, []string{"69 of the 70 acked messages of user 1 were lost, the first is message 2"}},
		{"everything lost", func(c *conversation) {
			c.bob.finish(64)
		}, []string{"64 of the 64 acked messages of user 1 were lost, the first is message 1"}},
		{"repeated under the same seq", func(c *conversation) {
			c.hears(1, 1)
			c.hears(1, 1)
			c.bob.finish(1)
		}, []string{"message 1 of user 1 came again"}},
		{"repeated under a new seq", func(c *conversation) {
			c.hears(1, 1)
			c.hears(2, 1)
			c.bob.finish(1)
		}, []string{"message 1 of user 1 came again, as seq 2"}},
		{"reordered by the server", func(c *conversation) {
			c.hears(1, 2)
			c.hears(2, 1)
			c.bob.finish(2)
		}, []string{"message 1 of user 1 came after 2: reordered"}},
		{"reordered on the way", func(c *conversation) {
			c.hears(2, 2)
			c.hears(1, 1)
			c.bob.finish(2)
		}, []string{"message 1 of user 1 came after 2: reordered", "seq 1 came after seq 2"}},
		{"a bit flipped in the filling", func(c *conversation) {
			body := c.body(1, 1)
			body[100] ^= 1
			c.bob.received(1, 1, body)
		}, []string{"corrupted"}},
		{"a bit flipped in the counter", func(c *conversation) {
			body := c.body(1, 1)
			body[offCounter+7] ^= 1
			c.bob.received(1, 1, body)
		}, []string{"corrupted"}},
		{"cut short", func(c *conversation) {
			c.bob.received(1, 1, c.body(1, 1)[:minBody-1])
		}, []string{"corrupted"}},
		{"somebody else's message", func(c *conversation) {
			c.bob.received(1, 3, c.body(3, 1))
		}, []string{"not for this conversation"}},
		{"a sender who is not the author", func(c *conversation) {
			c.bob.received(1, 3, c.body(1, 1))
		}, []string{"not for this conversation"}},
		{"one seq for two messages", func(c *conversation) {
			c.bob.acked(1)
			c.hears(1, 1)
			c.bob.finish(1)
		}, []string{"seq 1 was given out twice"}},
		{"a seq that nobody has", func(c *conversation) {
			c.bob.acked(1)
			c.bob.acked(3)
			c.bob.finish(0)
		}, []string{"1 gaps up to seq 3, the first at seq 2"}},
		{"an impossible seq", func(c *conversation) {
			c.hears(1<<60, 1)
		}, []string{"seq 1152921504606846976 in the conversation with 1 after 0"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := newConversation()
			tc.events(c)
			count, got := c.faults.List()
			if count != len(tc.want) {
				t.Fatalf("%d faults %q, want %d", count, got, len(tc.want))
			}
			for i, want := range tc.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("fault %d is %q, want %q in it", i, got[i], want)
				}
			}
		})
	}
}

func TestCheckerGivesTheHeader(t *testing.T) {
	c := newConversation()
	h, ok := c.bob.received(1, 1, c.body(1, 1))
	if want := (header{Run: testRun, Sender: 1, Counter: 1, Intended: 1}); !ok || h != want {
		t.Errorf("received gave %+v, %v, want %+v", h, ok, want)
	}
	if h, ok := c.bob.received(1, 1, c.body(1, 1)); ok {
		t.Errorf("a repeated message gave %+v as if it were new", h)
	}
}

func TestBodiesOfEverySizeHoldTheirHeader(t *testing.T) {
	f := filling(3)
	want := header{Run: 1 << 63, Sender: 2, Counter: 1<<64 - 1, Intended: -5}
	for _, size := range []int{minBody, minBody + 1, minBody + 6, 128, 64 << 10} {
		body := make([]byte, size)
		f.write(body, want)
		if got, ok := readHeader(body); !ok || got != want {
			t.Errorf("size %d: read %+v, %v", size, got, ok)
		}
	}
}
