package gannet

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"gannet/protocol"
)

// past is a read deadline that wakes the reader.
var past = time.Unix(1, 0)

// lingerTimeout bounds the wait for the server's end of the connection after
// the client has ended its own.
const lingerTimeout = time.Second

// link is what the reader knows of its connection.
type link struct {
	welcome protocol.Welcome
	address string        // of the server
	server  string        // its identity
	now     time.Time     // of the reader's turn
	heard   time.Time     // when something was read last
	pinged  time.Time     // when the PING that is not answered was sent, or zero
	acked   time.Time     // when PUSHACKs went last
	pause   time.Duration // until the next ones may go; see ackPause
	armed   time.Time     // the read deadline, or zero when it must be set

	unanswered time.Time // when the last HELLO was sent that was not answered, or zero
}

// heartbeat gives the interval in force.
func (l *link) heartbeat() time.Duration {
	if l.welcome.Heartbeat == 0 {
		return protocol.DefaultHeartbeat
	}
	return time.Duration(l.welcome.Heartbeat) * time.Second
}

// serve works the connection until it ends, and says why it did.
func (c *Client) serve(conn net.Conn) error {
	stop := context.AfterFunc(c.life, func() { conn.Close() })
	defer stop()
	c.begin()
	c.resume(conn)
	c.state.Store(int32(StateOnline))
	c.tellEvent(Event{Kind: EventConnected, Address: c.link.address})
	err := c.turn()
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
	for err == nil {
		err = c.arm(conn)
		if err != nil {
			return err
		}
		err = c.in.read(conn)
		c.begin()
		switch {
		case err == nil:
			c.link.heard, c.link.pinged = c.link.now, time.Time{}
			err = c.turn()
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.link.armed = time.Time{}
			err = c.turn()
		}
	}
	if errors.Is(err, errDrained) {
		c.linger(conn)
	}
	return err
}

// begin starts a turn of the reader: what is sent from now on goes out together
// at its end.
func (c *Client) begin() {
	c.corked.Store(true)
	c.link.now = time.Now()
}

// turn handles the frames that have arrived and what is due, and then writes
// what came of it.
func (c *Client) turn() error {
	err := c.frames()
	c.handOver()
	if err == nil {
		err = c.tick()
		c.handOver()
	}
	c.corked.Store(false)
	if err != nil {
		return err
	}
	return c.uncork()
}

// frames handles every whole frame that has arrived.
func (c *Client) frames() error {
	c.inbox.bodies = nil
	for {
		f, n, err := protocol.Split(c.in.data, protocol.MaxFrame)
		if n == 0 || err != nil {
			c.settleAcks()
			return err
		}
		c.in.data = c.in.data[n:]
		if f.Type != protocol.TypeSendAck {
			c.settleAcks()
		}
		if err := c.frame(f); err != nil {
			c.settleAcks()
			return err
		}
	}
}

// frame handles one frame. Types that it does not know are left alone: a newer
// server may push them.
func (c *Client) frame(f protocol.Frame) error {
	switch f.Type {
	case protocol.TypePush:
		return c.pushed(f.Payload)
	case protocol.TypeSendAck:
		return c.sendAcked(f.Payload)
	case protocol.TypeReceipt:
		return c.receipt(f.Payload)
	case protocol.TypeHint:
		return c.hinted(f.Payload)
	case protocol.TypeHole:
		return c.holed(f.Payload)
	case protocol.TypeSynced:
		if f.Request != 0 && f.Request == c.inbox.sync.request {
			return c.synced(f.Payload)
		}
		c.answer(f.Request, answer{kind: f.Type, payload: f.Payload})
	case protocol.TypeMessages:
		if v := c.inbox.fetched(f.Request); v != nil {
			return c.page(v, f.Payload)
		}
		c.answer(f.Request, answer{kind: f.Type, payload: f.Payload})
	case protocol.TypeDone:
		if c.readDone(f.Request, nil) {
			return nil
		}
		c.answer(f.Request, answer{kind: f.Type})
	case protocol.TypeError:
		return c.failed(f.Request, f.Payload)
	case protocol.TypeClose:
		return failure(f.Payload)
	}
	return nil
}

// failed handles ERROR.
func (c *Client) failed(request uint32, payload []byte) error {
	err := failure(payload)
	var e *Error
	if !errors.As(err, &e) || e.Code.action() == protocol.ActionReconnect {
		return err
	}
	switch v := c.inbox.fetched(request); {
	case request == 0:
		c.acksFailed(e)
	case v != nil:
		c.fetchFailed(v, e)
	case request == c.inbox.sync.request:
		return c.syncFailed(e)
	case !c.sendFailed(request, e) && !c.readDone(request, e):
		c.answer(request, answer{err: e})
	}
	return nil
}

// resume makes a connection the one in use: what is not acked goes out first, in
// order, then SYNC, then what else is not answered.
func (c *Client) resume(conn net.Conn) {
	c.link.heard, c.link.pinged, c.link.armed = c.link.now, time.Time{}, time.Time{}
	c.due = deadlines{beat: c.link.now}
	c.poked.Store(true) // what the app has received meanwhile was due to be acked
	c.lazy.Store(false)
	c.mu.Lock()
	c.wire.attach(conn, c.link.now)
	c.out.limit = c.out.window
	if most := int(c.link.welcome.MaxUnacked); most > 0 {
		c.out.limit = min(c.out.limit, most)
	}
	c.out.limitBytes = int(c.link.welcome.WindowBytes)
	c.out.answered = c.link.now
	c.pump(true)
	c.mu.Unlock()
	c.inbox.behind = true
	c.startSync()
	if n := len(c.inbox.refused); n > 0 {
		c.due.again = c.link.now
	}
	c.mu.Lock()
	c.askAgain(time.Time{})
	c.putReads()
	c.mu.Unlock()
}

// hangUp takes the connection out of use.
func (c *Client) hangUp() {
	c.corked.Store(false)
	c.mu.Lock()
	c.wire.detach()
	c.out.holdAll()
	c.reads.holdAll()
	c.mu.Unlock()
	c.inbox.hangUp()
	c.repeatAcks() // they may have been lost with the connection
	c.in.reset()
	c.in.release()
}

// linger ends the sending half and waits for the server to end its own, so that
// bytes of the server that are not read do not take the last ones of the client
// with them.
func (c *Client) linger(conn net.Conn) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	for {
		if _, err := conn.Read(c.in.small); err != nil {
			return
		}
	}
}
