package embedded

import (
	"context"

	"gannet/logic"
	"gannet/protocol"
)

// Rights implements logic.Social. The two users of a direct conversation may both
// see it and write; nothing else exists yet, so nobody may see it.
func (s *Store) Rights(_ context.Context, asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) {
	for _, a := range asks {
		var r logic.Rights
		if c := a.Conversation; c.Kind == protocol.KindDirect && (a.User == c.A || a.User == c.B) {
			r = logic.MaySee | logic.MayWrite
		}
		dst = append(dst, r)
	}
	return dst, nil
}
