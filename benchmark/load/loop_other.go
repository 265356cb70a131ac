//go:build !linux

package load

import (
	"errors"
	"sync/atomic"
)

// HaveLean says that there are loops on this system: elsewhere loads go through
// the SDK.
const HaveLean = false

type loop struct {
	clients []*leanClient
	now     int64
	begun   atomic.Bool
	sent    chan struct{}
}

func newLoop(*Load, *share) *loop { return nil }

func (*loop) start() error { return errors.ErrUnsupported }

func (*loop) end() {}

func (*loop) write(*leanClient) (int, error) { return 0, errors.ErrUnsupported }

func (*loop) watch(*leanClient) {}

func (*loop) forget(*leanClient) {}
