package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
)

const (
	// lookupPause is how long a look-up that the directory did not answer waits for
	// the next try, and lookupPauseMost what it grows to.
	lookupPause     = 50 * time.Millisecond
	lookupPauseMost = 2 * time.Second

	// routeTries is how often a record is tried that panics, where it is parked then.
	routeTries = 3
)

// router turns records into parcels for gateways. It belongs to one goroutine at a
// time and keeps its memory from record to record.
type router struct {
	server  *Server
	entries []int // of the record, that have a frame to be pushed
	lookups []directory.Lookup
	users   map[uint64]int // place of a user in lookups and answers
	answers []directory.Answer
	devices []directory.Device
	parcels []*parcel // one for each gateway
}

// ticket counts the parcels of a record that are not done with.
type ticket struct {
	server *Server
	queue  int
	mark   uint64
	left   atomic.Int32
	done   func()
}

// punch is called by whoever is done with a parcel, and whose work does not end because
// the queue panics when it hears of it.
func (t *ticket) punch() {
	if t.left.Add(-1) > 0 {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			t.server.panicked("a queue that hears that a record is done", cause)
		}
	}()
	t.done()
}

// route brings a record to every connected device that is entitled to it, and has
// done called when every gateway is done with it. It waits for the directory and
// for nobody else. A record that panics again and again is parked, and done.
func (r *router) route(ctx context.Context, record *hop.Record, done func()) {
	tries := 1
	if r.server.config.Parking != nil {
		tries = routeTries
	}
	for !r.try(ctx, record, done, tries == 1) {
		tries--
	}
}

// try is one try of route; false: it panicked, and there is another one. What it sent is
// sent once more then.
func (r *router) try(ctx context.Context, record *hop.Record, done func(), last bool) (over bool) {
	t := &ticket{server: r.server, queue: record.Queue, mark: record.Mark, done: done}
	t.left.Store(1) // for this function
	defer func() {
		if cause := recover(); cause != nil {
			r.server.panicked("routing", cause)
			*r = router{server: r.server} // what it was amid of is not for the next record
			if over = last; over {
				r.server.park(record.Queue, record.Mark, "panic")
				t.punch()
			}
		}
	}()
	r.read(record, true)
	pause := lookupPause
	for {
		err := r.locate(ctx, record)
		if err == nil {
			break
		}
		r.server.counters.lookups.Add(1)
		if r.server.said.Now() {
			r.server.config.Log.Warn("transfer: the directory does not answer, it is asked again", "queue", record.Queue, "after", pause, "error", err)
		}
		select {
		case <-r.server.ctx.Done():
			return true // not done: it comes again to the next follower
		case <-time.After(pause):
		}
		pause = min(2*pause, lookupPauseMost)
		ctx = r.server.ctx // whoever handed the record in may have stopped waiting
	}
	r.pack(record)
	r.send(ctx, t)
	return true
}

// receipts is route for a record that is not worth waiting for.
func (r *router) receipts(ctx context.Context, record *hop.Record) error {
	r.read(record, false)
	if err := r.locate(ctx, record); err != nil {
		return err
	}
	r.pack(record)
	r.send(ctx, nil)
	return nil
}

// errAnswers says that the directory's answers do not fit the look-ups.
var errAnswers = errors.New("transfer: the directory gave answers that do not fit")

// locate looks up the devices of everybody concerned, once for the record.
func (r *router) locate(ctx context.Context, record *hop.Record) error {
	if r.users == nil {
		r.users = make(map[uint64]int)
	}
	clear(r.users)
	r.lookups = r.lookups[:0]
	for _, i := range r.entries {
		for _, user := range receivers(&record.Entries[i]) {
			if _, known := r.users[user]; !known && user != 0 {
				r.users[user] = len(r.lookups)
				r.lookups = append(r.lookups, directory.Lookup{User: user})
			}
		}
	}
	if len(r.lookups) == 0 {
		return nil
	}
	if err := r.ask(ctx); err != nil {
		return err
	}
	if len(r.answers) != len(r.lookups) {
		return errAnswers
	}
	for i, a := range r.answers {
		if a.Devices.Start > a.Devices.End || uint64(a.Devices.End) > uint64(len(r.devices)) || a.Same {
			return errAnswers
		}
		for _, d := range r.devices[a.Devices.Start:a.Devices.End] {
			if d.User != r.lookups[i].User {
				return errAnswers // it would get what it is not entitled to
			}
		}
	}
	return nil
}

// ask calls the port. A panic there is an error like any other.
func (r *router) ask(ctx context.Context) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("transfer: the directory panicked: %v", cause)
		}
	}()
	r.answers, r.devices, err = r.server.config.Directory.Devices(ctx, r.lookups, r.answers[:0], r.devices[:0])
	return err
}

// pack makes a parcel for each gateway that holds receivers. The frames stay where
// they are, in the record's blob.
func (r *router) pack(record *hop.Record) {
	deliveries := uint64(0)
	for _, i := range r.entries {
		e := &record.Entries[i]
		for _, user := range receivers(e) {
			if user == 0 {
				continue
			}
			a := r.answers[r.users[user]]
			for _, d := range r.devices[a.Devices.Start:a.Devices.End] {
				if d.User == e.User && d.Device == e.Device {
					continue // it knows
				}
				r.parcel(d.At.Gateway).add(record.Blob, e.Frame, d.At.Conn)
				deliveries++
			}
		}
	}
	r.server.counters.deliveries.Add(deliveries)
}

func (r *router) parcel(epoch uint64) *parcel {
	for _, p := range r.parcels {
		if p.epoch == epoch {
			return p
		}
	}
	p := newParcel(epoch)
	r.parcels = append(r.parcels, p)
	return p
}

// send hands the parcels to their couriers.
func (r *router) send(ctx context.Context, t *ticket) {
	for i, p := range r.parcels {
		if p.ticket = t; t != nil {
			t.left.Add(1)
		}
		r.server.couriers.send(ctx, p)
		r.parcels[i] = nil
	}
	r.parcels = r.parcels[:0]
	if t != nil {
		t.punch()
	}
}
