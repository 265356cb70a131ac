package logic

import (
	"context"

	"gannet/protocol"
)

// access gives what each user may do in the conversation of the same Ask. It asks Social once for
// all of them. User 0 is the server, which may do everything.
func (s *Service) access(ctx context.Context, asks []Ask, dst []Rights) ([]Rights, error) {
	dst, err := s.Social.Rights(ctx, asks, dst)
	if err != nil || len(dst) != len(asks) {
		if s.troubles.access.Note() {
			s.Logger.Warn("logic: nobody could say who may do what", "asked", len(asks), "answered", len(dst), "error", err)
		}
		return dst, ErrUnavailable
	}
	for i, a := range asks {
		if a.User == 0 {
			dst[i] = MaySee | MayWrite
		}
	}
	return dst, nil
}

// maySee gives the code with which a query of the user is refused, or 0 if it is allowed.
func (s *Service) maySee(ctx context.Context, user uint64, t protocol.Target) protocol.Code {
	if !addressable(t) {
		return protocol.CodeBadTarget
	}
	rights, err := s.access(ctx, []Ask{{User: user, Conversation: t.Conversation(user)}}, make([]Rights, 0, 1))
	switch {
	case err != nil:
		return protocol.CodeUnavailable
	case rights[0]&MaySee == 0:
		return protocol.CodeBadTarget
	}
	return 0
}

// addressable says whether a conversation with such a target can exist.
func addressable(t protocol.Target) bool {
	switch t.Kind {
	case protocol.KindDirect, protocol.KindGroup, protocol.KindSystem:
		return t.ID != 0
	case protocol.KindBroadcast:
		return t.ID == 0
	}
	return false
}
