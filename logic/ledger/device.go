package ledger

import (
	"cmp"
	"slices"
	"time"
)

const (
	// defaultDevices bounds the devices of one user that a conversation knows.
	defaultDevices = 64

	// remembered is for how long a device that sent something is known for certain, in
	// milliseconds: as long as retries are.
	remembered = uint64(24 * time.Hour / time.Millisecond)
)

func (c *conversation) findDevice(user, id uint64) (int, bool) {
	return slices.BinarySearchFunc(c.devices, id, func(d *device, id uint64) int {
		return cmp.Or(cmp.Compare(d.next.User, user), cmp.Compare(d.next.Device, id))
	})
}

// device gives a device, nil where there is none.
func (c *conversation) device(user, id uint64) *device {
	if i, found := c.findDevice(user, id); found {
		return c.devices[i]
	}
	return nil
}

// devicesOf gives the devices of a user.
func (c *conversation) devicesOf(user uint64) []*device {
	from, _ := c.findDevice(user, 0)
	to := from
	for to < len(c.devices) && c.devices[to].next.User == user {
		to++
	}
	return c.devices[from:to]
}

// delivered gives a user's delivered cursor: what READ or the acks of the user's
// devices raised it to. pick chooses the state that counts.
func (c *conversation) delivered(m Member, pick func(*device) uint64) uint64 {
	at := m.Delivered
	for _, d := range c.devicesOf(m.User) {
		at = max(at, pick(d))
	}
	return at
}

// onlyAcked says whether nothing but an ack of the device is not written, which may wait.
func (d *device) onlyAcked() bool {
	x := d.next
	x.Acked, x.Changed = d.written.Acked, d.written.Changed
	return d.softNext && x == d.written && d.next.Acked != d.written.Acked
}

// acks gives how many devices have an ack that may wait.
func (c *conversation) acks() (n int) {
	for _, d := range c.devices {
		if !d.gone && d.onlyAcked() {
			n++
		}
	}
	return n
}

func nextAck(d *device) uint64  { return d.next.Acked }
func shownAck(d *device) uint64 { return d.shown.Acked }

// changes notes that the batch changes the device.
func (c *conversation) changes(d *device) {
	if !d.touched {
		d.touched = true
		d.nextChanged, c.devicesChanged = c.devicesChanged, d
	}
}

// addDevice adds a device of the user, who must not have it; nil: the conversation knows
// as many of the user's devices as it may, and none can make room.
func (l *Ledger) addDevice(c *conversation, user, id uint64) *device {
	known := 0
	for _, d := range c.devicesOf(user) {
		if !d.gone {
			known++
		}
	}
	for ; known >= l.options.Devices; known-- {
		d := l.oldest(c, user)
		if d == nil {
			return nil
		}
		d.gone = true
		d.nextChanged, c.devicesGone = c.devicesGone, d
		if m := l.member(c, user); m.next.Delivered < d.next.Acked || m.next.Changed < d.next.Changed {
			// Neither the cursor falls nor what a load makes of the conversation's stamp.
			m.next.Delivered, m.next.Changed = max(m.next.Delivered, d.next.Acked), max(m.next.Changed, d.next.Changed)
			m.raised = true
		}
	}
	fresh := Device{User: user, Device: id}
	d := &device{next: fresh, shown: fresh, written: fresh, batch: l.work.number, fresh: true}
	i, _ := c.findDevice(user, id)
	l.mu.Lock()
	c.devices = slices.Insert(c.devices, i, d)
	l.mu.Unlock()
	c.changes(d)
	return d
}

// leave takes out the devices that are gone. Ledger.mu is held.
func (c *conversation) leave() {
	c.devices = slices.DeleteFunc(c.devices, func(d *device) bool { return d.gone })
}

// oldest gives the device of the user that can make room, nil if none can: of those that
// sent nothing for as long as retries are known, the one that stayed behind furthest. A
// clock that leaps so makes none go that keeps up, as long as there is another. A time
// that lies ahead by more than that is of a clock that was wrong, and says nothing.
//
// A device of the batch stays, and so does one of whose messages a load finds the newest
// by replay: it would be back.
func (l *Ledger) oldest(c *conversation, user uint64) (oldest *device) {
	replayed := c.shown.Head/l.options.Checkpoint*l.options.Checkpoint + 1
	for _, d := range c.devicesOf(user) {
		now, sent := l.work.change.now, d.next.Time
		sentLately := sent+remembered > now && sent < now+remembered
		if d.gone || d.batch == l.work.number || sentLately || d.next.Last >= replayed {
			continue
		}
		if oldest == nil || cmp.Or(
			cmp.Compare(max(d.next.Last, d.next.Acked), max(oldest.next.Last, oldest.next.Acked)),
			cmp.Compare(d.next.Changed, oldest.next.Changed)) < 0 {
			oldest = d
		}
	}
	return oldest
}
