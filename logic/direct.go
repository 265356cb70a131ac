package logic

import (
	"context"

	"gannet/protocol"
)

// Direct is a Social without friends and groups. The two users of a direct conversation may both
// see it and write to it. No other conversations exist yet, so nobody may see them.
type Direct struct{}

// Rights implements Social.
func (Direct) Rights(_ context.Context, asks []Ask, dst []Rights) ([]Rights, error) {
	for _, a := range asks {
		var r Rights
		if c := a.Conversation; c.Kind == protocol.KindDirect && (a.User == c.A || a.User == c.B) {
			r = MaySee | MayWrite
		}
		dst = append(dst, r)
	}
	return dst, nil
}
