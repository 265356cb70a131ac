package logic

import (
	"context"
	"errors"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/token"
	"gannet/protocol"
)

// Login implements gateway.Logic: it checks HELLO and enters the device in the
// directory under the gateway and connection of the login; the connection that this
// one replaces, if any, is closed with replaced. The code is 0 when the device is
// welcome, else it is the reason for CLOSE: bad_version, bad_device, bad_token,
// token_expired, replaced, too_many_sessions or login_unavailable.
func (s *Service) Login(ctx context.Context, login *hop.Login) (hop.Welcome, error) {
	hello := &login.Hello
	switch {
	case hello.Version != protocol.Version:
		return hop.Welcome{Code: protocol.CodeBadVersion}, nil
	case hello.Device == 0:
		return hop.Welcome{Code: protocol.CodeBadDevice}, nil
	case len(hello.Token) > protocol.MaxToken:
		return hop.Welcome{Code: protocol.CodeBadToken}, nil
	}
	user, expires, err := s.Tokens.Verify(hello.Token)
	switch {
	case errors.Is(err, token.ErrExpired):
		return hop.Welcome{Code: protocol.CodeTokenExpired}, nil
	case errors.Is(err, token.ErrInvalid) || err == nil && user == 0:
		return hop.Welcome{Code: protocol.CodeBadToken}, nil
	case err != nil:
		return s.loginUnavailable("tokens", err), nil
	}

	number, err := s.Directory.Draw(ctx, user)
	if err == nil && number == 0 {
		err = errors.New("it drew no number")
	}
	if err != nil {
		return s.loginUnavailable("directory", err), nil
	}
	bound, err := s.Directory.Bind(ctx, []directory.Bind{{
		User: user, Device: hello.Device, Platform: hello.Platform, Number: number, At: login.Address,
		Most: max(s.MaxSessions, 0),
	}}, nil)
	if err == nil && len(bound) != 1 {
		err = errors.New("it gave another number of answers than it was asked for")
	}
	if err != nil {
		return s.loginUnavailable("directory", err), nil
	}
	if bound[0].Full {
		return hop.Welcome{Code: protocol.CodeTooManySessions}, nil
	}
	if bound[0].Lost {
		return hop.Welcome{Code: protocol.CodeReplaced}, nil
	}
	if old := bound[0].Replaced; old != (hop.Address{}) && old != login.Address {
		// Nothing is routed to the old connection any more, whether its gateway
		// hears of this or not, and the login does not wait for one that is dead.
		kick, cancel := context.WithTimeout(ctx, kickPatience)
		err := s.Gateways.Kick(kick, old, protocol.CodeReplaced)
		cancel()
		if err != nil {
			if s.troubles.kick.Note() {
				s.Logger.Warn("logic: a replaced connection could not be closed", "gateway", old.Gateway, "conn", old.Conn, "error", err)
			}
		}
	}

	heartbeat := heartbeatFor(hello.Heartbeat)
	welcome := protocol.Welcome{
		Version:    protocol.Version,
		User:       user,
		Time:       uint64(s.Now().UnixMilli()),
		Heartbeat:  heartbeat,
		MaxFrame:   protocol.MaxFrame,
		MaxBody:    protocol.MaxBody,
		MaxUnacked: protocol.MaxUnacked,
		Server:     s.Server,

		WindowBytes: protocol.MaxWindowBytes,
	}
	w := hop.Welcome{User: user, Number: number, Heartbeat: heartbeat, Frame: welcome.AppendFrame(nil, login.Request)}
	if !expires.IsZero() {
		// The second in which it ends is over; a time before 1970 is not "never".
		w.Expires = max(1, expires.Unix())
	}
	return w, nil
}

// kickPatience is how long a login waits until the connection is closed that it replaces.
// Where that was the gateway's death, all of its clients log in again just then.
const kickPatience = 100 * time.Millisecond

func (s *Service) loginUnavailable(what string, err error) hop.Welcome {
	if s.troubles.login.Note() {
		s.Logger.Warn("logic: a login could not be checked", "by", what, "error", err)
	}
	return hop.Welcome{Code: protocol.CodeLoginUnavailable}
}

// heartbeatFor gives the interval in force, in seconds, for the one that HELLO
// asked for.
func heartbeatFor(asked uint16) uint16 {
	if asked == 0 {
		return uint16(protocol.DefaultHeartbeat / time.Second)
	}
	return min(max(asked, uint16(protocol.MinHeartbeat/time.Second)), uint16(protocol.MaxHeartbeat/time.Second))
}

// Logout implements gateway.Logic: it removes the devices from the directory,
// unless another connection has replaced theirs since.
func (s *Service) Logout(ctx context.Context, over []hop.Binding) error {
	binds := make([]directory.Bind, len(over))
	for i, b := range over {
		binds[i] = directory.Bind{User: b.User, Device: b.Device, Platform: b.Platform, Number: b.Number, At: b.Address()}
	}
	err := s.Directory.Unbind(ctx, binds)
	if err != nil && s.troubles.logout.Note() {
		s.Logger.Warn("logic: devices that are gone stay in the directory", "devices", len(binds), "error", err)
	}
	return err
}
