package attack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/meter"
)

// Victim is the server that is attacked, and how.
type Victim struct {
	Address string
	TLS     string                            // address with TLS; "" where there is none
	Token   func(user uint64) (string, error) // nil: the server is an echo, which gets the same bytes
	Seed    uint64
	Short   bool // fewer clients
}

// Site is an attack that goes on.
type Site struct {
	Victim
	tally tally
	once  sync.Once
	began chan struct{} // closed by begun
}

// NewSite makes the site of an attack on v.
func NewSite(v Victim) *Site { return &Site{Victim: v, began: make(chan struct{})} }

// Times of an attacker.
const (
	// connectTimeout is how long a server may take to accept, loginTimeout to say
	// WELCOME or CLOSE, before the attacker tries something else.
	connectTimeout = 5 * time.Second
	loginTimeout   = 10 * time.Second

	// againPause is how long a client rests that got nothing but a refusal.
	againPause = 20 * time.Millisecond

	// farewell is how long a client looks for the reason of its end in what it did
	// not read.
	farewell = 500 * time.Millisecond
)

// begun says that the clients are where they do harm.
func (s *Site) begun() { s.once.Do(func() { close(s.began) }) }

func (s *Site) echo() bool { return s.Token == nil }

// scale gives how many clients there are.
func (s *Site) scale(whole, short int) int {
	if s.Short {
		return short
	}
	return whole
}

// random gives a source of chance for client i.
func (s *Site) random(i int) *rand.Rand { return rand.New(rand.NewPCG(s.Seed, uint64(i))) }

// firstUser is above whom a load's users ever are.
const firstUser = 1 << 63

// user gives the id of attacker i, the same in every process.
func user(i int) uint64 { return firstUser + uint64(i) }

// echoToken stands for a token where nobody looks at it.
var echoToken = string(make([]byte, 200))

func (s *Site) token(of uint64) (string, error) {
	if s.echo() {
		return echoToken, nil
	}
	token, err := s.Token(of)
	if err != nil {
		return "", fmt.Errorf("benchmark: token of user %d: %w", of, err)
	}
	return token, nil
}

// dial connects from the attackers' address number from.
func (s *Site) dial(ctx context.Context, address string, from int) (*net.TCPConn, error) {
	const perByte = 250
	dialer := load.DialerFrom(net.IPv4(127, 1, byte(from/perByte), byte(1+from%perByte)))
	dialer.Timeout = connectTimeout
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		if ctx.Err() == nil {
			s.tally.ended("connect ", err)
		}
		return nil, err
	}
	s.tally.sockets.Add(1)
	return conn.(*net.TCPConn), nil
}

// handshake makes a TLS connection of one that is connected.
func (s *Site) handshake(ctx context.Context, conn *net.TCPConn) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // it is the certificate of this run
	if err := c.HandshakeContext(ctx); err != nil {
		s.tally.ended("handshake ", err)
		return nil, err
	}
	return c, nil
}

// reset ends a connection at once and leaves nothing behind.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// rest gives the server a moment after a refusal.
func rest(ctx context.Context) { _ = meter.Rest(ctx, againPause) }

// crew runs n clients until all have ended. Each gets a function to call once it is
// where it does harm, or has tried in vain; when all have, the attack has begun.
func (s *Site) crew(n int, client func(i int, there func())) {
	var all, arrived sync.WaitGroup
	arrived.Add(n)
	for i := range n {
		all.Go(func() {
			there := sync.OnceFunc(arrived.Done)
			defer there()
			client(i, there)
		})
	}
	arrived.Wait()
	s.begun()
	all.Wait()
}

// peerEnded says how a connection ended, "" where it was this side that ended it.
func peerEnded(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF):
		return "ended"
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded):
		return ""
	case isRefused(err):
		return "refused"
	case isReset(err):
		return "reset"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "failed"
}
