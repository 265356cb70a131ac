//go:build cluster

package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"

	"gannet/internal/directory"
	"gannet/internal/directory/directorytest"
	"gannet/internal/hop"
)

// through is a directory that is looked up by the one under test.
type through struct {
	directory.Directory
	of *Directory
}

func (d through) Devices(ctx context.Context, lookups []directory.Lookup, answers []directory.Answer, devices []directory.Device) ([]directory.Answer, []directory.Device, error) {
	return d.of.Devices(ctx, lookups, answers, devices)
}

// Look-ups outside of records that were handed over together are those of the directory.
func TestDirectory(t *testing.T) {
	directorytest.Test(t, func(*testing.T) directory.Directory {
		d := directory.NewMemory()
		return through{d, NewDirectory(d)}
	})
}

// asked is a directory that counts questions. User 2 has two devices, user 1 the sending
// one.
type asked struct {
	*directory.Memory
	mu   sync.Mutex
	n    int
	fail int
}

func newAsked(t *testing.T) *asked {
	d := &asked{Memory: directory.NewMemory()}
	for i, b := range []directory.Bind{{User: 1, Device: 10}, {User: 2, Device: 20}, {User: 2, Device: 21}} {
		b.Number, b.At = uint64(i)+1, hop.Address{Gateway: 7, Conn: uint64(i) + 100}
		_, err := d.Bind(t.Context(), []directory.Bind{b}, nil)
		must(t, err)
	}
	return d
}

func (d *asked) times() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

var errAway = errors.New("the directory is away")

func (d *asked) Devices(ctx context.Context, l []directory.Lookup, a []directory.Answer, devices []directory.Device) ([]directory.Answer, []directory.Device, error) {
	d.mu.Lock()
	d.n++
	fail := d.fail > 0
	d.fail--
	d.mu.Unlock()
	if fail {
		return a, devices, errAway
	}
	return d.Memory.Devices(ctx, l, a, devices)
}

// Look-ups of records that were handed over together are answered from one question, and
// others as ever; one that failed is asked again.
func TestDirectoryTogether(t *testing.T) {
	of := newAsked(t)
	of.fail = 1
	d := NewDirectory(of)
	within := (&together{records: []hop.Record{*message(0, 0, "a"), *message(0, 1, "b")}}).within(t.Context())
	ask := func(ctx context.Context, users ...uint64) (n []int, err error) {
		var lookups []directory.Lookup
		for _, u := range users {
			lookups = append(lookups, directory.Lookup{User: u})
		}
		answers, devices, err := d.Devices(ctx, lookups, make([]directory.Answer, 1)[:0], nil)
		for i, a := range answers {
			for _, x := range devices[a.Devices.Start:a.Devices.End] {
				if x.User != users[i] {
					t.Errorf("user %d has a device of user %d", users[i], x.User)
				}
			}
			n = append(n, a.Devices.Len())
		}
		return n, err
	}
	if _, err := ask(within, 1); !errors.Is(err, errAway) {
		t.Errorf("a question that failed gives %v", err)
	}
	for _, users := range [][]uint64{{1, 2}, {2, 1}, {2}} {
		n, err := ask(within, users...)
		must(t, err)
		for i, u := range users {
			if n[i] != int(u) {
				t.Errorf("user %d has %d devices", u, n[i])
			}
		}
	}
	if n := of.times(); n != 2 {
		t.Errorf("%d questions", n)
	}
	for _, c := range []struct {
		ctx  context.Context
		user uint64
	}{{within, 3}, {t.Context(), 2}} {
		before := of.times()
		if n, err := ask(c.ctx, c.user); err != nil || len(n) != 1 || n[0] != int(c.user)%3 {
			t.Errorf("user %d: %v, %v", c.user, n, err)
		}
		if of.times() != before+1 {
			t.Error("it was not asked for")
		}
	}
	if v := d.Vars(); v["questions"] != 4 || v["users"] != 2+2+1+1 || v["shared"] != 1+2+1 {
		t.Errorf("counted %v", v)
	}
}
