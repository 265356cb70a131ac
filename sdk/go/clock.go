package gannet

import (
	"net"
	"time"

	"gannet/protocol"
)

const (
	// pongTimeout bounds the wait for anything at all after a PING, unless the
	// heartbeat interval is shorter.
	pongTimeout = 10 * time.Second

	// answerTimeout bounds the wait for the answer to a request that the server
	// has taken; after it the connection is given up.
	answerTimeout = 30 * time.Second
)

// deadlines says when the reader must do something though nothing arrives; zero
// is never. The reader keeps all of them by the read deadline of its
// connection, so a client has no timer.
type deadlines struct {
	beat  time.Time // look after the heartbeat and unanswered requests
	ack   time.Time // send PUSHACKs
	gap   time.Time // look after gaps that waited
	fetch time.Time // repeat a HISTORY or SYNC that failed
	send  time.Time // repeat SENDs that failed
	ask   time.Time // repeat other requests that failed
	again time.Time // fetch what the app refused
	look  time.Time // write what hooks have posted
}

// soonest moves t to d unless t is earlier already.
func soonest(t *time.Time, d time.Time) {
	if t.IsZero() || d.Before(*t) {
		*t = d
	}
}

// next gives the earliest.
func (d *deadlines) next() time.Time {
	t := d.beat
	for _, other := range [...]time.Time{d.ack, d.gap, d.fetch, d.send, d.ask, d.again, d.look} {
		if !other.IsZero() && other.Before(t) {
			t = other
		}
	}
	return t
}

// arm sets the read deadline to the next time at which something is due. One
// that is too early does no harm, so it is not moved back.
func (c *Client) arm(conn net.Conn) error {
	if next := c.due.next(); c.link.armed.IsZero() || next.Before(c.link.armed) {
		if err := conn.SetReadDeadline(next); err != nil {
			return err
		}
		c.link.armed = next
	}
	if c.poked.Load() {
		c.link.armed = past
		return conn.SetReadDeadline(past)
	}
	return nil
}

// tick does what is due.
func (c *Client) tick() error {
	now := c.link.now
	passed := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	if c.poked.Swap(false) {
		c.heedQueue()
	}
	if passed(c.due.gap) {
		c.endWaits()
	}
	if passed(c.due.fetch) {
		c.repeatFetches()
	}
	if passed(c.due.send) {
		c.resend()
	}
	if passed(c.due.ask) {
		c.due.ask = time.Time{}
		c.mu.Lock()
		c.askAgain(now)
		c.readAgain(now)
		c.mu.Unlock()
	}
	if passed(c.due.look) { // what is posted before lazy ends is written with this turn
		c.due.look = time.Time{}
		c.lazy.Store(false)
	}
	if passed(c.due.again) {
		c.bringAgain()
	}
	if passed(c.due.beat) {
		return c.beat()
	}
	return nil
}

// beat sends PING when either side has been silent for most of an interval, and
// gives a connection up that does not answer.
func (c *Client) beat() error {
	now, interval := c.link.now, c.link.heartbeat()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.flying > 0 && now.Sub(c.out.answered) >= answerTimeout || c.inbox.unanswered(now) {
		return errNoAnswer
	}
	c.due.beat = now.Add(answerTimeout)
	if c.link.pinged.IsZero() {
		quiet := c.link.heard
		if c.wire.last.Before(quiet) {
			quiet = c.wire.last
		}
		ping := quiet.Add(interval - interval/4)
		if now.Before(ping) {
			soonest(&c.due.beat, ping)
			return nil
		}
		c.wire.shrink()
		c.out.shrink()
		c.queue.shrink()
		if len(c.told) == 0 {
			c.told, c.acks = nil, nil
		}
		c.shrinkHooks()
		c.wire.pending = protocol.AppendEmpty(c.wire.pending, protocol.TypePing, c.numbers.next())
		c.link.pinged = now
	}
	pong := c.link.pinged.Add(min(interval, pongTimeout))
	if !now.Before(pong) {
		return errNoPong
	}
	soonest(&c.due.beat, pong)
	return nil
}
