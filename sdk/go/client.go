package gannet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/hostport"
	"gannet/protocol"
)

// State says what a client is doing.
type State int32

// The states.
const (
	StateIdle       State = iota // Connect was not called yet
	StateConnecting              // dialling, logging in or pausing between attempts
	StateOnline                  // logged in
	StateClosed                  // for good
)

// String names the state.
func (s State) String() string {
	names := [...]string{"idle", "connecting", "online", "closed"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("state %d", int32(s))
	}
	return names[s]
}

// Client is one device of one user. Dial makes one that is connected, New and Connect
// make one that may start offline. It stays connected until Close, coming back by itself
// whenever the connection is lost; meanwhile Send waits, Post and MarkRead take, and
// Handler.Event tells. It ends by itself only where no attempt can help, as when the
// server refuses the token or another client logs in as the same device: then Done is
// closed and Err says why.
//
// All methods may be called by any goroutine at any time; after Close those that take or
// ask something answer ErrClosed. Whoever makes a client closes it. Before a clean end of the process
// an app calls Close with a context that bounds how long it may wait; a process that dies
// without it loses nothing where it has a Store.
type Client struct {
	// One goroutine, the reader, lives as long as the client is connected or wants to
	// be: it connects, reads, keeps all times by the read deadline of the connection,
	// and connects again. What it alone touches needs no lock. Everything that callers
	// touch too is under mu; nobody waits for the network, a hook or the disk's fsync
	// while holding it. The queue, the hooks and the journal have locks of their own,
	// taken after mu where both are held.

	addrs  []string // shuffled
	next   int      // of addrs, the one to be tried; the reader's
	opts   options
	device uint64

	passing bool // the device was made for this client and is not used again

	life  context.Context // ends when Close will wait no longer, and when the client has ended
	end   context.CancelCauseFunc
	ready chan struct{} // closed at the first login
	quit  chan struct{} // closed when Close begins or the client stops
	ended chan struct{} // closed when the reader is through
	wake  chan struct{} // ends a pause of the reader

	user   atomic.Uint64
	state  atomic.Int32
	poked  atomic.Bool // somebody has news for the reader
	corked atomic.Bool // the reader will flush at the end of its turn
	lazy   atomic.Bool // the reader will look at what hooks have posted; see handOver

	mu       sync.Mutex
	started  bool      // the reader runs or has run
	hurry    time.Time // when the last call of Connect gives up, or zero
	closing  bool
	hasty    bool // Close was called by a hook or a loop: it waits for none
	wire     writer
	out      pending
	reads    reads
	requests []*request
	flushes  []*flush
	numbers  counter
	lastFail error // why the last attempt or connection ended
	err      error // why it stopped for good
	closeErr error // what Close returns
	fate     error // of what was not acked when the client ended; nil before

	journal journal
	queue   queue // messages for Messages or Handler.Message
	hooks   hooks

	in    input              // the reader's
	inbox inbox              // the reader's
	acks  []protocol.SendAck // the reader's: SENDACKs that it has not settled yet
	told  []told             // the reader's: outcomes to be handed over
	link  link               // the reader's
	due   deadlines          // the reader's
}

// New makes a client that is not connected. It checks the address and options and
// loads the Store, which it refuses with an *OwnerError when it knows that it is
// somebody else's. Messages may be sent already: they wait for the first login, which
// shows whose they are; see WithUser and ErrDropped.
//
// addr is the host:port of the server, or several of them with commas between
// (blanks around them do not matter), all of one server: they are tried in random
// order, one after the other. The first time one that does not answer is waited for
// for 3 s at most, and at most for its share of what is left of the context of Connect.
// A single address is waited for for 10 s. token is what the server's
// operator gave out.
func New(addr, token string, opts ...Option) (*Client, error) {
	o := options{
		token:      func(context.Context) (string, error) { return token, nil },
		dial:       new(net.Dialer).DialContext,
		backoffMin: defaultBackoffMin,
		backoffMax: defaultBackoffMax,
		window:     defaultWindow,
	}
	for _, opt := range opts {
		if opt == nil {
			continue
		}
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	c := &Client{
		opts:  o,
		ready: make(chan struct{}),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
		wake:  make(chan struct{}, 1),
	}
	for a := range strings.SplitSeq(addr, ",") {
		a = strings.TrimSpace(a)
		if err := checkAddress(a); err != nil {
			return nil, err
		}
		c.addrs = append(c.addrs, a)
	}
	rand.Shuffle(len(c.addrs), func(i, k int) { c.addrs[i], c.addrs[k] = c.addrs[k], c.addrs[i] })
	c.queue.init()
	c.hooks.init(&c.queue, o.handler.Message != nil)
	c.journal.mine = claimOf(&c.opts, token, c.addrs)
	file, _ := o.store.(*FileStore)
	if file != nil && !file.enter(c) {
		return nil, fmt.Errorf("%w: %s is in use by another client of this process, which is not closed", ErrStore, file.dir)
	}
	if err := c.remember(); err != nil {
		if file != nil {
			file.leave(c)
		}
		return nil, err
	}
	c.life, c.end = context.WithCancelCause(context.Background())
	c.hooks.life, c.hooks.cancel = context.WithCancel(context.WithValue(context.Background(), hookKey{}, c))
	return c, nil
}

func checkAddress(addr string) error {
	if addr == "" {
		return errors.New("gannet: an address is empty; it is host:port, or several of them with one comma between two")
	}
	if hostport.Check(addr) != nil {
		return fmt.Errorf("gannet: address %q is not host:port", addr)
	}
	return nil
}

// Dial makes a client with New and connects it. Within ctx it keeps trying when
// the connection is refused or breaks, or the server says that a later attempt may
// succeed; any other failure returns at once. When it fails the client is closed.
// ctx bounds Dial alone, not the client.
func Dial(ctx context.Context, addr, token string, opts ...Option) (*Client, error) {
	c, err := New(addr, token, opts...)
	if err != nil {
		return nil, err
	}
	if err := c.Connect(ctx); err != nil {
		c.mu.Lock()
		c.stopTaking()
		c.mu.Unlock()
		c.end(err)
		c.hooks.cancel()
		<-c.ended
		c.release()
		return nil, err
	}
	return c, nil
}

// Connect begins to connect, and returns once the client is logged in and the
// sync of what it missed has begun. It returns with an error when the client has
// ended for good, or when ctx ends; then the client goes on trying, and Connect
// may be called again to wait for it. An app that may start offline gives it a
// short ctx.
func (c *Client) Connect(ctx context.Context) error {
	c.mu.Lock()
	c.hurry, _ = ctx.Deadline()
	if !c.started && !c.closing {
		c.started = true
		c.state.Store(int32(StateConnecting))
		go c.run()
	}
	closing := c.closing
	c.mu.Unlock()
	ready := c.ready
	if closing {
		ready = nil // also when it has been logged in
	}
	select {
	case <-ready:
		return nil
	case <-c.ended:
		if err := c.Err(); err != nil {
			return err
		}
		return ErrClosed
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.lastFail != nil {
			return fmt.Errorf("gannet: connect: %w (the last attempt: %w)", ctx.Err(), c.lastFail)
		}
		return fmt.Errorf("gannet: connect: %w", ctx.Err())
	}
}

// User gives the user whom the token names, 0 before the first login unless the
// Store or WithUser says.
func (c *Client) User() uint64 { return c.user.Load() }

// Device gives the device id.
func (c *Client) Device() uint64 { return c.device }

// State gives the state.
func (c *Client) State() State { return State(c.state.Load()) }

// Done is closed when the client has ended for good; Err says why.
func (c *Client) Done() <-chan struct{} { return c.ended }

// Err says why the client ended for good: what the server refused, or an
// *OwnerError. It is nil while the client works and after a Close.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Waiting counts the messages that were taken and are neither acked nor refused,
// those of a life before included.
func (c *Client) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.live
}

// poke makes the reader look for news now.
func (c *Client) poke() {
	c.poked.Store(true)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire.conn != nil {
		// The reader sets its own deadline first and looks at poked after, so
		// one of the two always reaches it.
		c.wire.conn.SetReadDeadline(past)
	}
}

// warn and inform tell the app's logger, if there is one.
func (c *Client) warn(what string, args ...any) {
	if l := c.opts.log; l != nil {
		l.Warn("gannet: "+what, args...)
	}
}

func (c *Client) inform(what string, args ...any) {
	if l := c.opts.log; l != nil {
		l.Info("gannet: "+what, args...)
	}
}
