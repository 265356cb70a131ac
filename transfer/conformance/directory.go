package conformance

import (
	"context"
	"slices"
	"sync"
	"testing"

	"gannet/protocol"
	"gannet/transfer"
)

// Directory is a directory as both sides see it: logic enters devices, transfer
// looks them up.
type Directory interface {
	transfer.Directory
	Bind(ctx context.Context, user, device uint64, platform protocol.Platform, at protocol.Address) (old protocol.Address, replaced bool, err error)
	Unbind(ctx context.Context, user, device uint64, at protocol.Address) error
}

// Devices tests a Directory.
func Devices(t *testing.T, open func(t *testing.T) Directory) {
	at := func(conn uint64) protocol.Address { return protocol.Address{Gateway: 9, Conn: conn} }
	bind := func(t *testing.T, d Directory, user, device, conn uint64) (protocol.Address, bool) {
		t.Helper()
		old, replaced, err := d.Bind(t.Context(), user, device, protocol.PlatformBot, at(conn))
		must(t, err)
		return old, replaced
	}
	devices := func(t *testing.T, d Directory, users ...uint64) []transfer.Device {
		t.Helper()
		list, err := d.Devices(t.Context(), users, nil)
		must(t, err)
		return list
	}
	t.Run("every device of every user", func(t *testing.T) {
		d := open(t)
		bind(t, d, 1, 10, 100)
		bind(t, d, 1, 11, 101)
		bind(t, d, 2, 10, 102)
		bind(t, d, 3, 10, 103)
		got := devices(t, d, 2, 1, 4)
		want := []transfer.Device{{User: 2, Device: 10, At: at(102)}, {User: 1, Device: 10, At: at(100)}, {User: 1, Device: 11, At: at(101)}}
		slices.SortFunc(got[1:], func(a, b transfer.Device) int { return int(a.Device) - int(b.Device) })
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("a device has one address, the newest", func(t *testing.T) {
		d := open(t)
		if _, replaced := bind(t, d, 1, 10, 100); replaced {
			t.Error("the first login replaced something")
		}
		if old, replaced := bind(t, d, 1, 10, 101); !replaced || old != at(100) {
			t.Errorf("replaced %v %v", old, replaced)
		}
		if got := devices(t, d, 1); len(got) != 1 || got[0].At != at(101) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("only the address that is there can be taken out", func(t *testing.T) {
		d := open(t)
		bind(t, d, 1, 10, 100)
		bind(t, d, 1, 10, 101)
		must(t, d.Unbind(t.Context(), 1, 10, at(100))) // the connection that was replaced ends late
		if got := devices(t, d, 1); len(got) != 1 {
			t.Fatalf("got %v", got)
		}
		must(t, d.Unbind(t.Context(), 1, 10, at(101)))
		must(t, d.Unbind(t.Context(), 1, 10, at(101)))
		if got := devices(t, d, 1); len(got) != 0 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		d := open(t)
		var wg sync.WaitGroup
		for device := range uint64(20) {
			wg.Go(func() {
				for conn := range uint64(50) {
					_, _, err := d.Bind(t.Context(), 1, device, protocol.PlatformBot, at(conn))
					if err == nil && conn < 49 {
						err = d.Unbind(t.Context(), 1, device, at(conn))
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		got := devices(t, d, 1)
		for _, e := range got {
			if e.At != at(49) {
				t.Errorf("device %d is at %v", e.Device, e.At)
			}
		}
		if len(got) != 20 {
			t.Errorf("%d devices, want 20", len(got))
		}
	})
}
