package logic

import (
	"context"
	"slices"
	"testing"

	"gannet/protocol"
)

// stranger is a Social that lets nobody do anything.
type stranger struct{}

func (stranger) Rights(_ context.Context, asks []Ask, dst []Rights) ([]Rights, error) {
	return append(dst, make([]Rights, len(asks))...), nil
}

// The server itself, sender 0, may do everything, and nobody else by that.
func TestServerMayDoEverything(t *testing.T) {
	s := New(Config{Social: stranger{}})
	conversation := protocol.Conversation{Kind: protocol.KindDirect, A: 1, B: 2}
	rights, err := s.access(t.Context(), []Ask{{1, conversation}, {0, conversation}, {2, conversation}}, nil)
	if err != nil || !slices.Equal(rights, []Rights{0, MaySee | MayWrite, 0}) {
		t.Errorf("rights %v, %v", rights, err)
	}
}
