package load

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// HaveLean says that there are loops on this system.
const HaveLean = true

const (
	// loopBuffer is what one read takes at most, loopEvents how many connections
	// one look at the sockets tells of.
	loopBuffer = 64 << 10
	loopEvents = 256

	// While there is much to read, more than napEvents connections since the last
	// rest, the loop rests for napTime whatever comes: what gathers meanwhile
	// comes with one wake, and the server need not wake anybody. It makes
	// latencies longer by half of it, never shorter.
	napEvents = 4
	napTime   = 200 * time.Microsecond

	// tendPeriod is how often clients are looked at that have nothing to read.
	tendPeriod = 50 * time.Millisecond

	// beginPeriod is how soon the loop notices that it is to begin.
	beginPeriod = time.Millisecond
)

// loop is a thread that serves a part of a load's clients: it reads what came
// for them, sends what is due and rests. Reading and sending share the thread:
// a server on the same machine is left with the rest of the cores, and the
// system has fewer threads to move between them.
type loop struct {
	load    *Load
	table   *share        // what it sends; nil: it keeps windows full
	clients []*leanClient // with their users
	now     int64         // on the load's clock, as of this pass
	over    bool          // nothing will be due any more
	due     int64         // when something is due next
	woke    int64         // when it last sent what was due
	tended  int64         // when it last looked at all clients

	epoll   int
	buffer  []byte
	begun   atomic.Bool   // messages are to be sent
	sent    chan struct{} // closed when nothing more will be due
	stop    atomic.Bool
	stopped chan struct{}
}

func newLoop(l *Load, table *share) *loop {
	return &loop{load: l, table: table, epoll: -1, sent: make(chan struct{}), stopped: make(chan struct{})}
}

// start serves the clients until end is called.
func (o *loop) start() error {
	var err error
	if o.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("benchmark: epoll: %w", err)
	}
	for i, c := range o.clients {
		c.loop, c.index = o, int32(i)
		err := unix.SetNonblock(c.fd, true)
		if err == nil {
			err = o.control(unix.EPOLL_CTL_ADD, c)
		}
		if err != nil {
			return fmt.Errorf("benchmark: epoll: %w", err)
		}
	}
	go o.run()
	return nil
}

// end stops the loop; nothing is served after it.
func (o *loop) end() {
	if o.epoll < 0 {
		return
	}
	o.stop.Store(true)
	<-o.stopped
	_ = unix.Close(o.epoll)
	o.epoll = -1
}

func (o *loop) run() {
	// The thread is given up to precise sleeping and ends with the goroutine.
	runtime.LockOSThread()
	prepareSleep()
	defer close(o.stopped)
	o.prepare()
	events := make([]unix.EpollEvent, loopEvents)
	sockets := []unix.PollFd{{Fd: int32(o.epoll), Events: unix.POLLIN}}
	for busy := 0; !o.stop.Load(); {
		o.now = o.load.clock.now()
		wait := o.send()
		o.tend()
		n, _ := unix.EpollWait(o.epoll, events, 0)
		switch {
		case n > 0:
			busy += n
			for _, e := range events[:n] {
				o.handle(o.clients[e.Fd], e.Events)
			}
		case busy >= napEvents:
			busy = 0
			sleep(min(wait, napTime))
		default:
			busy = 0
			t := unix.NsecToTimespec(int64(max(wait, 0)))
			_, _ = unix.Ppoll(sockets, &t, nil) // epoll's own time-out is in milliseconds
		}
	}
}

// prepare takes what came with WELCOME.
func (o *loop) prepare() {
	o.buffer = make([]byte, loopBuffer)
	o.now = o.load.clock.now()
	for _, c := range o.clients {
		if len(c.partial) > 0 {
			c.input(nil)
		}
	}
}

// send sends what is due, at most every minWake, and says how long it will be
// until something is.
func (o *loop) send() time.Duration {
	switch {
	case o.over:
		return tendPeriod
	case !o.begun.Load():
		return beginPeriod
	case o.table == nil:
		for _, c := range o.clients {
			c.user.fillWindow(o.now)
		}
		o.finish() // Send returns when messages are on their way, else AwaitQuiet could find nothing to wait for
		return 0
	}
	if at := max(o.due, o.woke+int64(minWake)); o.now < at {
		return min(time.Duration(at-o.now), tendPeriod)
	}
	o.woke = o.now
	due, more := o.load.sendDue(o.table, o.now)
	if !more {
		o.table.lag.Flush()
		o.finish()
	}
	o.due = due
	return 0
}

func (o *loop) finish() {
	o.over = true
	close(o.sent)
}

// tend looks at all clients once in a while.
func (o *loop) tend() {
	if o.now-o.tended < int64(tendPeriod) {
		return
	}
	o.tended = o.now
	for _, c := range o.clients {
		if c.lost == nil {
			c.tend()
		}
	}
}

func (o *loop) handle(c *leanClient, events uint32) {
	if events&unix.EPOLLOUT != 0 && c.lost == nil {
		c.blocked = false
		o.watch(c)
		c.flush()
	}
	if events&^unix.EPOLLOUT == 0 || c.lost != nil {
		return
	}
	n, err := unix.Read(c.fd, o.buffer)
	switch {
	case n > 0:
		c.input(o.buffer[:n])
	case n == 0 && err == nil:
		c.lose(io.EOF)
	case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
		c.lose(err)
	}
}

// write writes what the client has to send, as far as the socket takes it.
func (o *loop) write(c *leanClient) (int, error) {
	n, err := unix.Write(c.fd, c.out)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return max(n, 0), err
}

// watch looks out for room in the socket of a client that is blocked.
func (o *loop) watch(c *leanClient) {
	if err := o.control(unix.EPOLL_CTL_MOD, c); err != nil {
		c.lose(err)
	}
}

// forget looks at a client no more.
func (o *loop) forget(c *leanClient) { _ = o.control(unix.EPOLL_CTL_DEL, c) }

func (o *loop) control(op int, c *leanClient) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.index}
	if c.blocked {
		event.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(o.epoll, op, c.fd, &event)
}
