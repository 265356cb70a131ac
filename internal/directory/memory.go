package directory

import (
	"context"
	"math/rand/v2"
	"sync"

	"gannet/internal/hop"
)

// Memory is the Directory of one process. It dies with the connections that it
// names, so nothing of it is written down.
type Memory struct {
	mu     sync.RWMutex
	drawn  uint64
	nobody uint64 // the version of every user without a device
	users  map[uint64]*bound
}

// bound is the devices of a user, at least one.
type bound struct {
	version uint64
	devices []Device
	numbers []uint64      // of the logins of the devices
	before  []hop.Address // the address that the last bind of each device replaced
}

var _ Directory = (*Memory)(nil)

// NewMemory makes an empty directory.
func NewMemory() *Memory {
	return &Memory{nobody: newVersion(), users: make(map[uint64]*bound)}
}

func newVersion() uint64 { return rand.Uint64() | 1 }

// Draw implements Directory.
func (m *Memory) Draw(_ context.Context, users, dst []uint64) (numbers []uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range users {
		m.drawn++
		dst = append(dst, m.drawn)
	}
	return dst, nil
}

// Bind implements Directory.
func (m *Memory) Bind(_ context.Context, binds []Bind, dst []Bound) ([]Bound, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range binds {
		dst = append(dst, m.bind(&binds[i]))
	}
	return dst, nil
}

func (m *Memory) bind(b *Bind) Bound {
	u := m.users[b.User]
	if u == nil {
		u = &bound{}
		m.users[b.User] = u // it gets a device: a bound is at least 1
	}
	device := Device{User: b.User, Device: b.Device, Platform: b.Platform, At: b.At}
	i := u.find(b.Device)
	if i < 0 {
		if b.Most > 0 && len(u.devices) >= b.Most {
			return Bound{Full: true}
		}
		u.devices, u.numbers, u.before = append(u.devices, device), append(u.numbers, b.Number), append(u.before, hop.Address{})
		u.version = newVersion()
		return Bound{}
	}
	old := u.devices[i].At
	switch {
	case b.Number < u.numbers[i]:
		return Bound{Lost: true}
	case b.Number == u.numbers[i] && old == b.At:
		return Bound{Replaced: u.before[i]}
	case b.Number == u.numbers[i] && u.before[i] == b.At:
		return Bound{}
	}
	u.devices[i], u.numbers[i] = device, b.Number
	u.version = newVersion()
	if u.before[i] = old; old == b.At {
		u.before[i] = hop.Address{}
	}
	return Bound{Replaced: u.before[i]}
}

func (u *bound) find(device uint64) int {
	for i := range u.devices {
		if u.devices[i].Device == device {
			return i
		}
	}
	return -1
}

// Unbind implements Directory.
func (m *Memory) Unbind(_ context.Context, binds []Bind) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range binds {
		u := m.users[b.User]
		if u == nil {
			continue
		}
		i := u.find(b.Device)
		if i < 0 || u.numbers[i] != b.Number || u.devices[i].At != b.At {
			continue
		}
		last := len(u.devices) - 1
		if last == 0 {
			delete(m.users, b.User)
			continue
		}
		u.devices[i], u.numbers[i], u.before[i] = u.devices[last], u.numbers[last], u.before[last]
		u.devices, u.numbers, u.before = u.devices[:last], u.numbers[:last], u.before[:last]
		u.version = newVersion()
	}
	return nil
}

// Devices implements Directory.
func (m *Memory) Devices(_ context.Context, lookups []Lookup, answers []Answer, devices []Device) ([]Answer, []Device, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, l := range lookups {
		a := Answer{Version: m.nobody, Devices: hop.Span{Start: uint32(len(devices)), End: uint32(len(devices))}}
		u := m.users[l.User]
		if u != nil {
			a.Version = u.version
		}
		if l.Version == a.Version {
			a.Same = true
		} else if u != nil {
			devices = append(devices, u.devices...)
			a.Devices.End = uint32(len(devices))
		}
		answers = append(answers, a)
	}
	return answers, devices, nil
}
