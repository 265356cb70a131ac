package cluster

import (
	"context"
	"sync/atomic"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/transfer"
)

// Directory is a transfer.Directory for servers whose Queue is that of this package. All records
// that were handed over together are visible before the first of them is taken. So one question
// can answer the look-ups of all of them: a device that connects later finds these records by
// SYNC.
//
// It does not ask with versions: an entry of the directory is hardly longer than a version. A
// script that compares versions takes 3.4 µs of Redis, an HGET of the entry 0.14 µs.
type Directory struct {
	of transfer.Directory

	asked, users, shared atomic.Uint64
}

// NewDirectory makes a Directory that asks another one.
func NewDirectory(of transfer.Directory) *Directory { return &Directory{of: of} }

// Vars gives the counters for the debug address: questions, users in them, and look-ups that an
// earlier question had answered.
func (d *Directory) Vars() map[string]uint64 {
	return map[string]uint64{"questions": d.asked.Load(), "users": d.users.Load(), "shared": d.shared.Load()}
}

// together has the records that were handed over together. Only the follower's goroutine uses it.
type together struct {
	records []hop.Record // valid until the follower has handed over all of them

	known   bool // the fields below are filled
	of      map[uint64]int
	answers []directory.Answer
	devices []directory.Device
}

type togetherKey struct{}

// within gives the context that take gets.
func (t *together) within(ctx context.Context) context.Context {
	return context.WithValue(ctx, togetherKey{}, t)
}

// Devices implements transfer.Directory.
func (d *Directory) Devices(ctx context.Context, lookups []directory.Lookup, answers []directory.Answer, devices []directory.Device) ([]directory.Answer, []directory.Device, error) {
	t, _ := ctx.Value(togetherKey{}).(*together)
	if t == nil {
		return d.ask(ctx, lookups, answers, devices)
	}
	if !t.known {
		if err := d.learn(ctx, t); err != nil {
			return answers, devices, err
		}
	} else {
		d.shared.Add(uint64(len(lookups)))
	}
	for _, l := range lookups {
		if i, ok := t.of[l.User]; !ok || i >= len(t.answers) || l.Version != 0 {
			return d.ask(ctx, lookups, answers, devices)
		}
	}
	for _, l := range lookups {
		a := t.answers[t.of[l.User]]
		start := uint32(len(devices))
		if a.Devices.Start <= a.Devices.End && int(a.Devices.End) <= len(t.devices) {
			devices = append(devices, t.devices[a.Devices.Start:a.Devices.End]...)
		}
		a.Devices = hop.Span{Start: start, End: uint32(len(devices))}
		answers = append(answers, a)
	}
	return answers, devices, nil
}

func (d *Directory) ask(ctx context.Context, lookups []directory.Lookup, answers []directory.Answer, devices []directory.Device) ([]directory.Answer, []directory.Device, error) {
	d.asked.Add(1)
	d.users.Add(uint64(len(lookups)))
	return d.of.Devices(ctx, lookups, answers, devices)
}

// learn asks for all users who get frames of the records.
func (d *Directory) learn(ctx context.Context, t *together) error {
	var lookups []directory.Lookup
	var users []uint64
	t.of = make(map[uint64]int)
	for i := range t.records {
		users = transfer.Receivers(&t.records[i], users[:0])
		for _, user := range users {
			if _, known := t.of[user]; !known {
				t.of[user] = len(lookups)
				lookups = append(lookups, directory.Lookup{User: user})
			}
		}
	}
	var err error
	t.answers, t.devices, err = d.ask(ctx, lookups, t.answers[:0], t.devices[:0])
	t.known = err == nil
	return err
}
