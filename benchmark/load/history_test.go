package load

import (
	"errors"
	"slices"
	"strings"
	"testing"

	gannet "gannet/sdk/go"
)

var errTest = errors.New("the line is dead")

// told is a conversation of a and b as a history gives it.
type told struct {
	a, b *user
	all  []gannet.Message
}

// newTold makes a conversation in which a sent twice, then b once, then a again.
func newTold(t *testing.T) *told {
	t.Helper()
	l, err := New(Config{Users: 2, Window: 1, Size: 128, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	c := &told{a: l.users[0], b: l.users[1]}
	c.says(c.a)
	c.says(c.a)
	c.says(c.b)
	c.says(c.a)
	return c
}

// says adds the user's next message, acked.
func (c *told) says(u *user) {
	seq := uint64(len(c.all) + 1)
	u.seqs = append(u.seqs, seq)
	body := make([]byte, 128)
	u.load.fill.write(body, header{Run: u.load.run, Sender: u.id, Counter: uint64(len(u.seqs))})
	c.all = append(c.all, gannet.Message{Seq: seq, Sender: u.id, Body: body})
}

func TestHistoryIsComparedWithTheAcks(t *testing.T) {
	cases := []struct {
		name   string
		change func(c *told)
		err    error
		want   []string
	}{
		{"nothing wrong", func(*told) {}, nil, nil},
		{"the last one lost", func(c *told) { c.all = c.all[:3] }, nil, []string{"3 messages of user A were acked and 2 are in the history"}},
		{"one lost, and its seq given to the next", func(c *told) {
			c.all = slices.Delete(c.all, 1, 2)
			for i := range c.all {
				c.all[i].Seq = uint64(i + 1)
			}
		}, nil, []string{
			"message 1 of user B was acked as seq 3 and is in the history as 2",
			"message 3 of user A follows message 1",
			"message 3 of user A was acked as seq 4 and is in the history as 3",
			"3 messages of user A were acked and 2 are in the history",
		}},
		{"stored twice", func(c *told) {
			again := c.all[3]
			again.Seq = 5
			c.all = append(c.all, again)
		}, nil, []string{
			"message 3 of user A follows message 3",
			"message 3 of user A was acked as seq 4 and is in the history as 5",
			"3 messages of user A were acked and 4 are in the history",
		}},
		{"a gap", func(c *told) {
			c.all[3].Seq = 5
			c.a.seqs[2] = 5
		}, nil, []string{"seq 5 follows 3"}},
		{"corrupted", func(c *told) { c.all[2].Body[100] ^= 1 }, nil, []string{
			"seq 3 is corrupted", "1 messages of user B were acked and 0 are in the history",
		}},
		{"under another's name", func(c *told) { c.all[2].Sender = c.a.id }, nil, []string{
			"seq 3 is corrupted or not of this run", "1 messages of user B were acked and 0 are in the history",
		}},
		{"never acked", func(c *told) { c.b.seqs = nil }, nil, []string{
			"message 1 of user B is in the history but has no ack", "0 messages of user B were acked and 1 are in the history",
		}},
		{"unreadable", func(*told) {}, errTest, []string{"ends after seq 4: the line is dead"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := newTold(t)
			names := strings.NewReplacer("user A", userName(c.a), "user B", userName(c.b))
			tc.change(c)
			checkHistory(c.a, c.b, func(yield func(gannet.Message, error) bool) {
				for _, m := range c.all {
					if !yield(m, nil) {
						return
					}
				}
				if tc.err != nil {
					yield(gannet.Message{}, tc.err)
				}
			})
			count, got := c.a.load.Faults.List()
			if count != len(tc.want) {
				t.Fatalf("%d faults %q, want %d", count, got, len(tc.want))
			}
			for i, want := range tc.want {
				if want = names.Replace(want); !strings.Contains(got[i], want) {
					t.Errorf("fault %d is %q, want %q in it", i, got[i], want)
				}
			}
		})
	}
}

// Where messages may go behind later ones, each is still there once, under the seq of
// its ack.
func TestHistoryMayBeMixed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(c *told)
		want   int
	}{
		{"the first two of A the other way round", func(c *told) {
			c.all[0].Body, c.all[1].Body = c.all[1].Body, c.all[0].Body
			c.a.seqs[0], c.a.seqs[1] = 2, 1
		}, 0},
		{"and acked as if they were not", func(c *told) {
			c.all[0].Body, c.all[1].Body = c.all[1].Body, c.all[0].Body
		}, 2},
		{"one of them twice in place of the other", func(c *told) { c.all[0].Body = c.all[1].Body }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newTold(t)
			c.a.load.config.Mixed = true
			tc.change(c)
			checkHistory(c.a, c.b, func(yield func(gannet.Message, error) bool) {
				for _, m := range c.all {
					if !yield(m, nil) {
						return
					}
				}
			})
			if count, got := c.a.load.Faults.List(); count != tc.want {
				t.Errorf("%d faults, want %d: %q", count, tc.want, got)
			}
		})
	}
}
