package embedded

import (
	"context"
	"sync"

	"gannet/protocol"
	"gannet/transfer"
)

// Directory is the Directory of logic, which enters devices, and of transfer,
// which looks them up, in memory.
type Directory struct {
	mu    sync.RWMutex
	users map[uint64][]transfer.Device
}

// NewDirectory makes an empty directory.
func NewDirectory() *Directory {
	return &Directory{users: make(map[uint64][]transfer.Device)}
}

// Bind is logic.Directory's.
func (d *Directory) Bind(_ context.Context, user, device uint64, _ protocol.Platform, at protocol.Address) (old protocol.Address, replaced bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.users[user]
	for i := range list {
		if list[i].Device == device {
			old, list[i].At = list[i].At, at
			return old, true, nil
		}
	}
	d.users[user] = append(list, transfer.Device{User: user, Device: device, At: at})
	return protocol.Address{}, false, nil
}

// Unbind is logic.Directory's.
func (d *Directory) Unbind(_ context.Context, user, device uint64, at protocol.Address) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.users[user]
	for i := range list {
		if list[i].Device != device || list[i].At != at {
			continue
		}
		if len(list) == 1 {
			delete(d.users, user)
			return nil
		}
		last := len(list) - 1
		list[i] = list[last]
		d.users[user] = list[:last]
		return nil
	}
	return nil
}

// Devices is transfer.Directory's.
func (d *Directory) Devices(_ context.Context, users []uint64, dst []transfer.Device) ([]transfer.Device, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, user := range users {
		dst = append(dst, d.users[user]...)
	}
	return dst, nil
}
