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

// began notes a part, to be stopped before all that began earlier.
func (s *parts) began(name string, stop func(context.Context) error) {
	s.started = append(s.started, part{name, stop})
}

// stop ends the parts in the opposite order of their start, whether all of them had
// begun or not: from the front, where clients are told to come back, to the store.
// So nothing that was acked is without its push, or at least its place in the store.
func (s *parts) stop() error {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs error
	for i := len(s.started) - 1; i >= 0; i-- {
		if err := s.started[i].stop(ctx); err != nil {
			errs = errors.Join(errs, fmt.Errorf("stopping the %s: %w", s.started[i].name, err))
		}
	}
	s.started = nil
	return errs
}
