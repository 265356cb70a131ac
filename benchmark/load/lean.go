package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"gannet/protocol"
)

// leanClient speaks the protocol for one user who writes to others, with as
// little of everything as that takes: what the load costs is taken from the
// server, which shares the cores. It does not reconnect; a lost connection is a
// fault. After login all of it belongs to its loop.
type leanClient struct {
	user  *user
	loop  *loop
	talks []leanTalk // as the user's checks
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
	owing     []int    // talks whose have is not acked
	told      []int    // those that were acked last
	behind    bool     // some talk may have to be fetched
	acked     int64    // when PUSHACKs were sent last
	wrote     int64    // when anything was
	heartbeat int64    // interval in force
}

// leanTalk is one conversation.
type leanTalk struct {
	peer     protocol.Target
	have     uint64 // seq of the newest message that came
	known    uint64 // seq up to which there are messages, as far as the client was told
	goal     uint64 // seq up to which it fetches; beyond known it looks what there is
	fetching bool   // HISTORY is under way
	owed     bool   // it is among owing
}

// outcome is how a message went.
type outcome struct {
	seq uint64
	err error
}

const (
	// leanAckPause is how long a client waits after PUSHACKs before the next ones, of all
	// conversations that moved, go along with a message, as those of the SDK do; what
	// nothing takes along goes alone after twice as long, well before the server pushes
	// again.
	leanAckPause = int64(250 * time.Millisecond)

	// historyRequest and the number of a talk mark a HISTORY; the requests of messages are
	// below.
	historyRequest = 1 << 31

	// leanRetry is how soon a refused message is sent again when the server does
	// not say when.
	leanRetry = 20 * time.Millisecond
)

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
	c.out = protocol.Send{Target: c.talks[c.user.turn(n)].peer, ClientID: c.first + n, Content: protocol.ContentText, Body: body}.
		AppendFrame(c.out, uint32(n)&(historyRequest-1))
	if len(c.owing) > 0 && c.loop.now-c.acked >= leanAckPause {
		c.ack()
	}
}

// owe notes that a talk is to be acked.
func (c *leanClient) owe(i int) {
	if t := &c.talks[i]; !t.owed {
		t.owed = true
		c.owing = append(c.owing, i)
	}
}

// ack encodes a PUSHACK of each talk that is owing.
func (c *leanClient) ack() {
	for _, i := range c.owing {
		t := &c.talks[i]
		t.owed = false
		c.out = protocol.Cursor{Target: t.peer, Seq: t.have}.AppendPushAck(c.out, 0)
	}
	c.user.pushAcks.Add(uint64(len(c.owing)))
	c.owing, c.told = c.told[:0], c.owing
	c.acked = c.loop.now
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
	if c.behind {
		c.behind = false
		for i := range c.talks {
			c.fetch(i)
		}
	}
	if len(c.owing) > 0 && now-c.acked >= 2*leanAckPause {
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
	c.user.load.Faults.Addf("user %d: %v", c.user.id, c.lost)
	c.user.onState(false, err)
}

// close is for when the loop has ended.
func (c *leanClient) close(context.Context) error {
	if len(c.owing) > 0 && c.lost == nil {
		c.ack()
		_, _ = c.loop.write(c) // if it fits
	}
	c.lost = net.ErrClosed
	return syscall.Close(c.fd)
}
