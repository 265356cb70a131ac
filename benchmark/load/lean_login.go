package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"gannet/benchmark/meter"
	"gannet/protocol"
)

// dialLean logs the user in. A server that says to come again is heeded, as the protocol
// wants it, for as long as ctx lasts.
func dialLean(ctx context.Context, u *user, address, token string) (client, error) {
	for failures := 0; ; failures++ {
		c, err := tryLean(ctx, u, address, token)
		var r *refusal
		if err == nil || !errors.As(err, &r) || r.code.Action() != protocol.ActionReconnect {
			return c, err
		}
		u.load.loginsAgain.Add(1)
		pause := rand.N(loginPause << min(failures, 6))
		if meter.Rest(ctx, max(pause, r.retryAfter)) != nil {
			return nil, err
		}
	}
}

// tryLean logs the user in once and reads nothing more.
func tryLean(ctx context.Context, u *user, address, token string) (client, error) {
	dialed, err := u.wire.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("benchmark: user %d: %w", u.id, err)
	}
	defer dialed.Close()
	conn := dialed.(*net.TCPConn)
	// Whoever interrupts the logins need not wait for a server that does not answer.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	welcome, rest, err := login(conn, token)
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
	u.limitWindow(int(welcome.WindowBytes))
	now := u.load.clock.now()
	c := &leanClient{
		user: u, talks: make([]leanTalk, len(u.checks)), fd: fd,
		partial: rest, first: uint64(time.Now().UnixMicro()), wrote: now,
		heartbeat: int64(welcome.Heartbeat) * int64(time.Second),
		// Clients that begin together shall not ack together.
		acked: now - rand.Int64N(leanAckPause),
	}
	for i := range c.talks {
		c.talks[i].peer = protocol.Target{Kind: protocol.KindDirect, ID: u.checks[i].peer}
	}
	u.onState(true, nil)
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

// login says HELLO and gives WELCOME, without its bytes, and what came after it.
func login(conn net.Conn, token string) (welcome protocol.Welcome, rest []byte, err error) {
	hello := protocol.Hello{
		Version: protocol.Version, Token: []byte(token), Device: 1 + rand.Uint64()>>1, Platform: protocol.PlatformBot,
		Heartbeat: uint16(protocol.MaxHeartbeat / time.Second), Name: []byte(ClientName),
	}
	if _, err := conn.Write(hello.AppendFrame(nil, 1)); err != nil {
		return welcome, nil, err
	}
	for buf := make([]byte, 1024); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return welcome, nil, err
		}
		rest = append(rest, buf[:n]...)
		f, taken, err := protocol.Split(rest, protocol.MaxFrame)
		switch {
		case err != nil:
			return welcome, nil, err
		case taken == 0:
		case f.Type == protocol.TypeWelcome:
			err := welcome.Decode(f.Payload)
			welcome.Server = nil
			return welcome, rest[taken:], err
		case f.Type == protocol.TypeClose:
			return welcome, nil, failure(f.Payload)
		default:
			return welcome, nil, fmt.Errorf("a frame of type %#x instead of WELCOME", uint8(f.Type))
		}
	}
}

// loginPause is the longest pause after the first login that is to come again; the
// protocol's rule.
const loginPause = 500 * time.Millisecond

// refusal is what an ERROR or CLOSE says.
type refusal struct {
	code       protocol.Code
	text       string
	retryAfter time.Duration
}

func (r *refusal) Error() string { return fmt.Sprintf("%v: %s", r.code, r.text) }

func failure(payload []byte) error {
	var m protocol.Failure
	if err := m.Decode(payload); err != nil {
		return err
	}
	return &refusal{code: m.Code, text: string(m.Text), retryAfter: time.Duration(m.RetryAfter) * time.Millisecond}
}

// LogIn logs a user in and leaves again at once. An echo has logged somebody in when it
// has sent the HELLO back.
func LogIn(ctx context.Context, dialer net.Dialer, address, token string, echo bool) error {
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("benchmark: login: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if echo {
		sent := make([]byte, 400)
		if _, err = conn.Write(sent); err == nil {
			_, err = io.ReadFull(conn, sent)
		}
	} else {
		_, _, err = login(conn, token)
	}
	if err != nil {
		return fmt.Errorf("benchmark: login: %w", err)
	}
	return nil
}
