package logic

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gannet/protocol"
)

// Login checks HELLO and enters the device in the directory under the gateway
// and connection of id (its user and device are not read); the connection that
// this one replaces, if any, is closed with replaced. The code is 0 when the
// device is welcome, else it is the reason for CLOSE: bad_version, bad_device,
// bad_token, token_expired or login_unavailable.
func (s *Service) Login(ctx context.Context, id protocol.Identity, request uint32, hello *protocol.Hello) (protocol.Login, protocol.Code) {
	if hello.Version != protocol.Version {
		return protocol.Login{}, protocol.CodeBadVersion
	}
	if hello.Device == 0 {
		return protocol.Login{}, protocol.CodeBadDevice
	}
	if len(hello.Token) > protocol.MaxToken {
		return protocol.Login{}, protocol.CodeBadToken
	}
	user, _, err := s.Verifier.Verify(hello.Token)
	switch {
	case errors.Is(err, ErrTokenExpired):
		return protocol.Login{}, protocol.CodeTokenExpired
	case errors.Is(err, ErrToken):
		return protocol.Login{}, protocol.CodeBadToken
	case err != nil:
		return protocol.Login{}, protocol.CodeLoginUnavailable
	}

	at := protocol.Address{Gateway: id.Gateway, Conn: id.Conn}
	old, replaced, err := s.Directory.Bind(ctx, user, hello.Device, hello.Platform, at)
	if err != nil {
		return protocol.Login{}, protocol.CodeLoginUnavailable
	}
	if replaced && old != at {
		// Nothing is routed to the old connection any more, whether its gateway
		// hears of this or not.
		if err := s.Gateways.Kick(ctx, old, protocol.CodeReplaced); err != nil {
			slog.Warn("logic: a replaced connection could not be closed", "gateway", old.Gateway, "conn", old.Conn, "err", err)
		}
	}

	heartbeat := heartbeatFor(hello.Heartbeat)
	welcome := protocol.Welcome{
		Version:    protocol.Version,
		User:       user,
		Time:       uint64(s.Now().UnixMilli()),
		Heartbeat:  uint16(heartbeat / time.Second),
		MaxFrame:   protocol.MaxFrame,
		MaxBody:    protocol.MaxBody,
		MaxUnacked: protocol.MaxUnacked,
	}
	return protocol.Login{User: user, Heartbeat: heartbeat, Welcome: welcome.AppendFrame(nil, request)}, 0
}

// heartbeatFor gives the interval in force for the seconds that HELLO asked for.
func heartbeatFor(asked uint16) time.Duration {
	if asked == 0 {
		return protocol.DefaultHeartbeat
	}
	return min(max(time.Duration(asked)*time.Second, protocol.MinHeartbeat), protocol.MaxHeartbeat)
}

// Logout removes the device from the directory, unless another connection has
// replaced this one since. The gateway calls it once for every connection that
// was welcome, when it has ended.
func (s *Service) Logout(ctx context.Context, id protocol.Identity) {
	at := protocol.Address{Gateway: id.Gateway, Conn: id.Conn}
	if err := s.Directory.Unbind(ctx, id.User, id.Device, at); err != nil {
		slog.Warn("logic: a device could not be removed from the directory", "user", id.User, "device", id.Device, "err", err)
	}
}
