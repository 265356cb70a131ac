package logic

import (
	"context"
	"errors"
	"slices"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/protocol"
)

// BindAgain implements gateway.Binder: it enters connections in the directory once more
// under the numbers of their logins, and gives those that later logins have replaced. A
// connection that one of them replaces is closed with replaced, unless it is the same one
// under the epoch that its gateway had before.
func (s *Service) BindAgain(ctx context.Context, again []hop.Rebinding) (lost []uint32, err error) {
	binds := make([]directory.Bind, len(again))
	for i, b := range again {
		binds[i] = directory.Bind{User: b.User, Device: b.Device, Platform: b.Platform, Number: b.Number, At: b.Address()}
	}
	bound, err := s.Directory.Bind(ctx, binds, nil)
	if err == nil && len(bound) != len(binds) {
		err = errors.New("it gave another number of answers than it was asked for")
	}
	if err == nil && slices.ContainsFunc(bound, func(b directory.Bound) bool { return b.Failed }) {
		err = errors.New("a part of the directory did not answer") // all are bound again, which is safe
	}
	if err != nil {
		if s.troubles.login.Note() {
			s.Logger.Warn("logic: connections cannot be entered in the directory again", "connections", len(binds), "error", err)
		}
		return nil, err
	}
	var replaced []hop.Address
	for i, b := range bound {
		before := hop.Address{Gateway: again[i].Was, Conn: again[i].Conn}
		switch old := b.Replaced; {
		case b.Lost:
			lost = append(lost, uint32(i))
		case old != (hop.Address{}) && old != before && old != again[i].Address():
			replaced = append(replaced, old)
		}
	}
	if len(replaced) > 0 { // the gateway waits for its bindings, not for those of others
		go s.kickReplaced(context.WithoutCancel(ctx), replaced)
	}
	return lost, nil
}

// kickReplaced closes connections to which nothing is routed any more, whether their
// gateways hear of this or not.
func (s *Service) kickReplaced(ctx context.Context, replaced []hop.Address) {
	defer func() {
		if cause := recover(); cause != nil && s.troubles.kick.Note() {
			s.Logger.Error("logic: closing replaced connections panicked", "panic", cause)
		}
	}()
	for _, old := range replaced {
		if err := s.Gateways.Kick(ctx, old, protocol.CodeReplaced); err != nil && s.troubles.kick.Note() {
			s.Logger.Warn("logic: a replaced connection could not be closed", "gateway", old.Gateway, "conn", old.Conn, "error", err)
		}
	}
}
