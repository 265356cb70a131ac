package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"gannet/protocol"
	gannet "gannet/sdk/go"
)

// leanClient speaks the protocol for one user who writes to one other, with as
// little of everything as that takes: what the load costs is taken from the
// server, which shares the cores. It does not reconnect; a lost connection is a
// fault. After login all of it belongs to its loop.
type leanClient struct {
	user  *user
	loop  *loop
	peer  protocol.Target
	fd    int
	index int32 // among the loop's clients

	partial []byte // the frame that has not arrived whole
	out     []byte // what the socket has not taken
	corked  bool   // input is being handled; what is sent meanwhile goes out in one write
	blocked bool   // the socket takes no more; the loop hears when it does again
	lost    error  // the connection has ended

	first     uint64 // client id of message n is first + n
	sent      uint64 // message sent last
	done      uint64 // message that the user was told of last
	early     map[uint64]outcome
	again     []uint64 // messages to send again …
	againAt   int64    // … then
	have      uint64   // seq of the newest message that came
	known     uint64   // seq up to which there are messages, as far as the client was told
	goal      uint64   // seq up to which it fetches; beyond known it looks what there is
	fetching  bool     // HISTORY is under way
	owed      bool     // have is not acked
	acked     int64    // when a PUSHACK was sent last
	wrote     int64    // when anything was
	heartbeat int64    // interval in force
}

// outcome is how a message went.
type outcome struct {
	seq uint64
	err error
}

const (
	// leanAckPause is how long a client waits after a PUSHACK before the next one
	// goes along with a message; one that nothing takes along goes alone after
	// twice as long, well before the server pushes again.
	leanAckPause = int64(250 * time.Millisecond)

	// historyRequest marks a HISTORY; the requests of messages are below.
	historyRequest = 1 << 31

	// leanRetry is how soon a refused message is sent again when the server does
	// not say when.
	leanRetry = 20 * time.Millisecond
)

// dialLean logs the user in and reads nothing more.
func dialLean(ctx context.Context, u *user, address, token string) (client, error) {
	dialed, err := u.wire.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("benchmark: user %d: %w", u.id, err)
	}
	defer dialed.Close()
	conn := dialed.(*net.TCPConn)
	// Whoever interrupts the logins need not wait for a server that does not answer.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	heartbeat, rest, err := login(conn, token)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("benchmark: user %d: login: %w", u.id, err)
	}
	fd, err := detach(conn)
	if err != nil {
		return nil, fmt.Errorf("benchmark: user %d: %w", u.id, err)
	}
	now := u.load.clock.now()
	c := &leanClient{
		user: u, peer: protocol.Target{Kind: protocol.KindDirect, ID: u.check.peer}, fd: fd,
		partial: rest, first: uint64(time.Now().UnixMicro()), heartbeat: int64(heartbeat), wrote: now,
		// Clients that begin together shall not ack together.
		acked: now - rand.Int64N(leanAckPause),
	}
	u.onState(gannet.Online, nil)
	return c, nil
}

// detach gives a descriptor of the connection that the runtime does not know:
// with one that it polls, each arrival would wake a thread of its as well.
func detach(conn *net.TCPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(own uintptr) { fd, err = syscall.Dup(int(own)) })
	if failed == nil && err == nil {
		syscall.CloseOnExec(fd)
	}
	return fd, errors.Join(failed, err)
}

// login says HELLO and gives what WELCOME says of heartbeats, and what came
// after it.
func login(conn net.Conn, token string) (heartbeat time.Duration, rest []byte, err error) {
	hello := protocol.Hello{
		Version: protocol.Version, Token: []byte(token), Device: 1 + rand.Uint64()>>1, Platform: protocol.PlatformBot,
		Heartbeat: uint16(protocol.MaxHeartbeat / time.Second), Name: []byte(clientName),
	}
	if _, err := conn.Write(hello.AppendFrame(nil, 1)); err != nil {
		return 0, nil, err
	}
	for buf := make([]byte, 1024); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return 0, nil, err
		}
		rest = append(rest, buf[:n]...)
		f, taken, err := protocol.Split(rest, protocol.MaxFrame)
		switch {
		case err != nil:
			return 0, nil, err
		case taken == 0:
		case f.Type == protocol.TypeWelcome:
			var m protocol.Welcome
			err := m.Decode(f.Payload)
			return time.Duration(m.Heartbeat) * time.Second, rest[taken:], err
		case f.Type == protocol.TypeClose:
			return 0, nil, failure(f.Payload)
		default:
			return 0, nil, fmt.Errorf("a frame of type %#x instead of WELCOME", uint8(f.Type))
		}
	}
}

// failure is what an ERROR or CLOSE says.
func failure(payload []byte) error {
	var m protocol.Failure
	if err := m.Decode(payload); err != nil {
		return err
	}
	return fmt.Errorf("%v: %s", m.Code, m.Text)
}

// send is for the goroutine of the loop alone.
func (c *leanClient) send(body []byte) error {
	if c.lost != nil {
		return c.lost
	}
	c.sent++
	c.put(c.sent, body)
	c.flush()
	return nil
}

// put encodes message n.
func (c *leanClient) put(n uint64, body []byte) {
	c.out = protocol.Send{Target: c.peer, ClientID: c.first + n, Content: protocol.ContentText, Body: body}.
		AppendFrame(c.out, uint32(n)&(historyRequest-1))
	if c.owed && c.loop.now-c.acked >= leanAckPause {
		c.ack()
	}
}

// ack encodes a PUSHACK of all that came.
func (c *leanClient) ack() {
	c.out = protocol.Cursor{Target: c.peer, Seq: c.have}.AppendPushAck(c.out, 0)
	c.acked, c.owed = c.loop.now, false
}

// flush writes what there is to write.
func (c *leanClient) flush() {
	if len(c.out) == 0 || c.corked || c.blocked || c.lost != nil {
		return
	}
	n, err := c.loop.write(c)
	if err != nil {
		c.lose(err)
		return
	}
	c.wrote = c.loop.now
	if n > 0 {
		c.user.wire.out.Add(uint64(n))
		c.user.wire.writes.Add(1)
		c.out = c.out[:copy(c.out, c.out[n:])]
	}
	if len(c.out) > 0 {
		c.blocked = true
		c.loop.watch(c)
	}
}

// input takes what was read.
func (c *leanClient) input(p []byte) {
	c.user.wire.in.Add(uint64(len(p)))
	c.user.wire.reads.Add(1)
	if len(c.partial) > 0 {
		c.partial = append(c.partial, p...)
		p = c.partial
	}
	c.corked = true
	taken := 0
	for c.lost == nil {
		f, n, err := protocol.Split(p[taken:], protocol.MaxFrame)
		if err == nil && n > 0 {
			taken += n
			err = c.frame(f)
		}
		if err != nil {
			c.lose(err)
		}
		if n == 0 {
			break
		}
	}
	c.partial = append(c.partial[:0], p[taken:]...)
	c.corked = false
	c.flush()
}

func (c *leanClient) frame(f protocol.Frame) error {
	switch f.Type {
	case protocol.TypeSendAck:
		var m protocol.SendAck
		if err := m.Decode(f.Payload); err != nil {
			return err
		}
		c.finish(m.ClientID-c.first, outcome{seq: m.Seq})
	case protocol.TypePush:
		var m protocol.Message
		if err := m.Decode(f.Payload); err != nil {
			return err
		}
		if c.goal > c.have { // comes with what is being fetched
			c.known = max(c.known, m.Seq)
			c.goal = max(c.goal, c.known)
			break
		}
		c.message(&m)
	case protocol.TypeHint:
		var m protocol.Cursor
		if err := m.Decode(f.Payload); err != nil {
			return err
		}
		c.known = max(c.known, m.Seq)
		c.goal = max(c.goal, c.known)
		if m.Target.Kind == protocol.KindNone {
			c.goal = max(c.goal, c.have+1)
		}
		c.fetch()
	case protocol.TypeMessages:
		return c.page(f.Payload)
	case protocol.TypeError:
		return c.refused(f)
	case protocol.TypeClose:
		return failure(f.Payload)
	}
	return nil
}

// finish tells the user how message n went, once all before it have been told.
func (c *leanClient) finish(n uint64, o outcome) {
	if n <= c.done || n > c.sent {
		return
	}
	if n != c.done+1 {
		if c.early == nil {
			c.early = make(map[uint64]outcome)
		}
		c.early[n] = o
		return
	}
	for found := true; found; {
		c.done++
		delete(c.early, c.done)
		c.user.onDone(c.first+c.done, o.seq, o.err)
		o, found = c.early[c.done+1]
	}
}

// message gives the user a message that is new.
func (c *leanClient) message(m *protocol.Message) {
	c.owed = true // also when the server missed a PUSHACK
	if m.Seq <= c.have {
		return
	}
	c.have = m.Seq
	if m.Sender != c.user.id {
		c.user.onMessage(m.Seq, m.Sender, m.Body)
	}
}

// fetch asks for what did not come as a push.
func (c *leanClient) fetch() {
	if c.fetching || c.have >= c.goal {
		return
	}
	c.fetching = true
	c.out = protocol.History{Target: c.peer, Direction: protocol.Forward, Seq: c.have + 1}.AppendFrame(c.out, historyRequest)
}

// page takes what was asked for.
func (c *leanClient) page(payload []byte) error {
	var page protocol.Messages
	if err := page.Decode(payload); err != nil {
		return err
	}
	c.fetching = false
	for m := range page.All() {
		c.message(&m)
	}
	if page.Last >= page.First {
		c.have = max(c.have, page.Last)
	}
	if c.have >= page.Head {
		c.goal = c.known
	}
	c.fetch()
	return nil
}

// refused handles ERROR.
func (c *leanClient) refused(f protocol.Frame) error {
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil {
		return err
	}
	retry := m.Code.Action() == protocol.ActionRetry
	switch {
	case f.Request == 0 && retry:
		c.owed = true
	case f.Request == historyRequest && retry:
		c.fetching = false // the loop's next round asks again
	case f.Request == 0, f.Request == historyRequest:
		return failure(f.Payload)
	default:
		n := c.done + 1 + uint64((f.Request-uint32(c.done+1))&(historyRequest-1))
		if !retry {
			c.finish(n, outcome{err: failure(f.Payload)})
			break
		}
		c.user.again.Add(1)
		c.again = append(c.again, n)
		c.againAt = c.loop.now + max(int64(m.RetryAfter)*int64(time.Millisecond), int64(leanRetry))
	}
	return nil
}

// tend does what no frame brings about: it sends again what was refused, acks
// what nothing took along, and shows that the client is alive.
func (c *leanClient) tend() {
	now := c.loop.now
	if len(c.again) > 0 && now >= c.againAt {
		for _, n := range c.again {
			c.put(n, c.user.slot(n).body)
		}
		c.again = c.again[:0]
	}
	c.fetch()
	if c.owed && now-c.acked >= 2*leanAckPause {
		c.ack()
	}
	if now-c.wrote >= c.heartbeat/2 {
		c.out = protocol.AppendEmpty(c.out, protocol.TypePing, 0)
	}
	c.flush()
}

// lose ends the connection, which is not made again.
func (c *leanClient) lose(err error) {
	if c.lost != nil {
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server ended the connection")
	}
	c.lost = fmt.Errorf("the connection was lost: %w", err)
	c.loop.forget(c)
	c.user.load.faults.addf("user %d: %v", c.user.id, c.lost)
	c.user.onState(gannet.Closed, err)
}

// close is for when the loop has ended.
func (c *leanClient) close(context.Context) error {
	if c.owed && c.lost == nil {
		c.ack()
		_, _ = c.loop.write(c) // if it fits
	}
	c.lost = net.ErrClosed
	return syscall.Close(c.fd)
}
