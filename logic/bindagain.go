package logic

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/protocol"
)

// BindAgain implements gateway.Binder. It enters connections in the directory again, under the
// numbers of their logins, and gives the indexes of those that later logins have replaced. A
// connection that one of them replaces in turn is closed with replaced. It is not closed if it is
// the same connection under the earlier epoch of its gateway.
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
	if len(replaced) > 0 { // the gateway waits for its own bindings only
		go s.kickReplaced(context.WithoutCancel(ctx), replaced)
	}
	return lost, nil
}

// kickReplaced closes connections that were replaced. Nothing is routed to them any more, even if
// their gateways do not hear of this.
func (s *Service) kickReplaced(ctx context.Context, replaced []hop.Address) {
	defer func() {
		if cause := recover(); cause != nil && s.troubles.kick.Note() {
			s.Logger.Error("logic: closing replaced connections panicked", "panic", cause)
		}
	}()
	for _, old := range replaced {
		if err := s.Gateways.Kick(ctx, old, protocol.CodeReplaced); err != nil && s.troubles.kick.Note() {
			s.Logger.Warn("logic: a replaced connection could not be closed", "gateway", fmt.Sprintf("%x", old.Gateway), "conn", fmt.Sprintf("%x", old.Conn), "error", err)
		}
	}
}
