package command

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// parts are what a process has started, and stops in the opposite order.
type parts struct {
	stopping atomic.Bool
	started  []part
}

// part is something that was started, and how it is stopped.
type part struct {
	name string
	stop func(context.Context) error
}

// began notes a part. It is stopped before all parts that were noted earlier. The name must fit the
// error "ending the NAME".
func (s *parts) began(name string, stop func(context.Context) error) {
	s.started = append(s.started, part{name, stop})
}

// stop ends the parts in the opposite order of their start: from the front, where clients are told
// to come back, to the store. So everything acked gets its push, or at least its place in the
// store. It works also if only some of the parts have begun.
func (s *parts) stop() error {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs error
	for i := len(s.started) - 1; i >= 0; i-- {
		if err := s.started[i].stop(ctx); err != nil {
			errs = errors.Join(errs, fmt.Errorf("ending the %s: %w", s.started[i].name, err))
		}
	}
	s.started = nil
	return errs
}
