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
	// lookupPause is how long to wait before a failed look-up is tried again. The pause doubles
	// up to lookupPauseMost.
	lookupPause     = 50 * time.Millisecond
	lookupPauseMost = 2 * time.Second

	// routeTries is how often a record that panics is tried, if it can be parked after that.
	routeTries = 3
)

// router turns records into parcels for gateways. Only one goroutine uses it at a time. It keeps
// its memory from record to record.
type router struct {
	server  *Server
	entries []int // indexes of the entries that have a frame to push
	lookups []directory.Lookup
	users   map[uint64]int // place of a user in lookups and answers
	answers []directory.Answer
	devices []directory.Device
	parcels []*parcel // one for each gateway
}

// ticket counts the parcels of a record that are not finished. When none is left, the record is
// done.
type ticket struct {
	server *Server
	queue  int
	mark   uint64
	left   atomic.Int32
	done   func()
}

// punch is called when a parcel is finished. A panic of the queue in done does not reach the
// caller.
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

// route sends a record to every connected device that is entitled to it. done is called when
// every gateway has finished with it. route waits for the directory and for nothing else. A
// record that panics at every try is parked, and then counts as done.
func (r *router) route(ctx context.Context, record *hop.Record, done func()) {
	tries := 1
	if r.server.config.Parking != nil {
		tries = routeTries
	}
	for !r.try(ctx, record, done, tries == 1) {
		tries--
	}
}

// try is one try of route. It returns false if it panicked and there is another try. What it has
// sent until then is sent again.
func (r *router) try(ctx context.Context, record *hop.Record, done func(), last bool) (over bool) {
	t := &ticket{server: r.server, queue: record.Queue, mark: record.Mark, done: done}
	t.left.Store(1) // for this function
	defer func() {
		if cause := recover(); cause != nil {
			r.server.panicked("routing", cause)
			*r = router{server: r.server} // what was interrupted must not reach the next record
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
		ctx = r.server.ctx // the caller may have stopped waiting
	}
	r.pack(record)
	r.send(ctx, t)
	return true
}

// receipts is route for records that are sent once, without a ticket.
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

// ask calls Directory.Devices. It turns a panic there into an error.
func (r *router) ask(ctx context.Context) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("transfer: the directory panicked: %v", cause)
		}
	}()
	r.answers, r.devices, err = r.server.config.Directory.Devices(ctx, r.lookups, r.answers[:0], r.devices[:0])
	return err
}

// pack makes a parcel for each gateway that has receivers. The frames are not copied: they stay
// in the record's blob.
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
					continue // it did this itself
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

// send hands the parcels to the couriers of their gateways.
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
