package logic

import (
	"context"
	"errors"
	"sync"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/token"
	"gannet/protocol"
)

// Login implements gateway.Logic: it checks HELLOs and draws their numbers. A code of 0 means that
// the device may be entered. Any other code is the reason for CLOSE: bad_version, bad_device,
// bad_token, token_expired or login_unavailable.
func (s *Service) Login(ctx context.Context, logins []hop.Login) ([]hop.Welcome, error) {
	welcomes := make([]hop.Welcome, len(logins))
	var users []uint64
	for i := range logins {
		w := &welcomes[i]
		if s.check(&logins[i].Hello, w); w.Code == 0 {
			users = append(users, w.User)
		}
	}
	if len(users) == 0 {
		return welcomes, nil
	}
	numbers, err := s.Directory.Draw(ctx, users, nil)
	if err == nil && len(numbers) != len(users) {
		err = errors.New("it drew another number of numbers than it was asked for")
	}
	if err != nil {
		s.loginFailed("directory", len(users), err)
	}
	for i := range welcomes {
		w := &welcomes[i]
		if w.Code != 0 {
			continue
		}
		if err != nil {
			*w = hop.Welcome{Code: protocol.CodeLoginUnavailable}
			continue
		}
		if w.Number, numbers = numbers[0], numbers[1:]; w.Number == 0 {
			s.loginFailed("directory", 1, errors.New("it drew no number"))
			*w = hop.Welcome{Code: protocol.CodeLoginUnavailable}
			continue
		}
		s.welcome(&logins[i], w)
	}
	return welcomes, nil
}

// check fills in the code if the login is refused, or else the user and when the login ends.
func (s *Service) check(hello *protocol.Hello, w *hop.Welcome) {
	switch {
	case hello.Version != protocol.Version:
		w.Code = protocol.CodeBadVersion
		return
	case hello.Device == 0:
		w.Code = protocol.CodeBadDevice
		return
	case len(hello.Token) > protocol.MaxToken:
		w.Code = protocol.CodeBadToken
		return
	}
	user, expires, err := s.Tokens.Verify(hello.Token)
	switch {
	case errors.Is(err, token.ErrExpired):
		w.Code = protocol.CodeTokenExpired
	case errors.Is(err, token.ErrInvalid) || err == nil && user == 0:
		w.Code = protocol.CodeBadToken
	case err != nil:
		s.loginFailed("tokens", 1, err)
		w.Code = protocol.CodeLoginUnavailable
	default:
		w.User = user
		if !expires.IsZero() {
			// Expires is in whole seconds, rounded down. 0 would mean never, so the least value is
			// 1.
			w.Expires = max(1, expires.Unix())
		}
	}
}

// welcome fills in what the client is told.
func (s *Service) welcome(login *hop.Login, w *hop.Welcome) {
	w.Heartbeat = heartbeatFor(login.Hello.Heartbeat)
	welcome := protocol.Welcome{
		Version:    protocol.Version,
		User:       w.User,
		Time:       uint64(s.Now().UnixMilli()),
		Heartbeat:  w.Heartbeat,
		MaxFrame:   protocol.MaxFrame,
		MaxBody:    protocol.MaxBody,
		MaxUnacked: protocol.MaxUnacked,
		Server:     s.Server,

		WindowBytes: protocol.MaxWindowBytes,
	}
	w.Frame = welcome.AppendFrame(nil, login.Request)
}

// Enter implements gateway.Logic: it enters connections in the directory. A connection that another
// one replaces is closed with replaced. The code of a connection is 0 if it was entered. Otherwise
// it is the reason for CLOSE: replaced, too_many_sessions or login_unavailable.
func (s *Service) Enter(ctx context.Context, connections []hop.Binding) ([]protocol.Code, error) {
	binds := make([]directory.Bind, len(connections))
	for i, b := range connections {
		binds[i] = directory.Bind{
			User: b.User, Device: b.Device, Platform: b.Platform, Number: b.Number, At: b.Address(),
			Most: max(s.MaxSessions, 0),
		}
	}
	codes := make([]protocol.Code, len(connections))
	bound, err := s.Directory.Bind(ctx, binds, nil)
	if err == nil && len(bound) != len(binds) {
		err = errors.New("it gave another number of answers than it was asked for")
	}
	if err != nil {
		s.loginFailed("directory", len(binds), err)
		for i := range codes {
			codes[i] = protocol.CodeLoginUnavailable
		}
		return codes, nil
	}
	var replaced []hop.Address
	for i, b := range bound {
		switch {
		case b.Failed:
			s.loginFailed("directory", 1, errors.New("a part of it did not answer"))
			codes[i] = protocol.CodeLoginUnavailable
		case b.Full:
			codes[i] = protocol.CodeTooManySessions
		case b.Lost:
			codes[i] = protocol.CodeReplaced
		case b.Replaced != (hop.Address{}) && b.Replaced != connections[i].Address():
			replaced = append(replaced, b.Replaced)
		}
	}
	if len(replaced) > 0 {
		s.closeReplaced(ctx, replaced)
	}
	return codes, nil
}

// closeReplaced closes connections that were replaced. Nothing is routed to them any more, even if
// their gateways do not hear of this. Logins wait for a dead gateway no longer than kickPatience.
func (s *Service) closeReplaced(ctx context.Context, replaced []hop.Address) {
	ctx, cancel := context.WithTimeout(ctx, kickPatience)
	defer cancel()
	if len(replaced) == 1 {
		s.kickReplaced(ctx, replaced)
		return
	}
	var all sync.WaitGroup // kicks for one gateway that wait at the same time go in one call
	for i := range replaced {
		all.Go(func() { s.kickReplaced(ctx, replaced[i:i+1]) })
	}
	all.Wait()
}

// kickPatience is how long logins wait until the connections that they replace are closed. If a
// gateway has died, all its clients log in again at that moment.
const kickPatience = 100 * time.Millisecond

// loginFailed notes logins that could not be checked.
func (s *Service) loginFailed(what string, logins int, err error) {
	for range logins - 1 {
		s.troubles.login.Count()
	}
	if s.troubles.login.Note() {
		s.Logger.Warn("logic: logins could not be checked", "by", what, "logins", logins, "error", err)
	}
}

// heartbeatFor gives the interval in force, in seconds, for the interval that HELLO asked for.
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
