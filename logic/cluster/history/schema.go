package history

import (
	"context"
	"errors"
	"fmt"
)

// ErrNewer says that the schema is of a later version of the program.
var ErrNewer = errors.New("history: the schema is newer than this program")

// errUnseen says that nobody knows yet of which version the schema is.
var errUnseen = unavailable(errors.New("history: its schema has not been looked at yet"))

// verdict is what was found out about the schema. A schema that was good stays so for as
// long as the program runs: what a newer program adds to it does not concern a node that
// goes on while others are replaced.
type verdict struct {
	err error // nil: it can be used
}

// usable gives an error where nothing may be read or inserted.
func (s *Store) usable() error {
	v := s.schema.Load()
	if v == nil {
		return errUnseen
	}
	if v.err != nil {
		s.faults.newer.Count()
	}
	return v.err
}

// newer is an ErrNewer.
func (s *Store) newer(version, newest uint32) error {
	return fmt.Errorf("%w: the database %s has version %d and this gannet knows up to %d; start the newer gannet instead, or give this one another database", ErrNewer, s.options.Database, version, newest)
}

// refuse has the store neither read nor insert from now on.
func (s *Store) refuse(err error) {
	s.schema.Store(&verdict{unavailable(err)})
	if s.faults.newer.Note() {
		s.log.Error("history: nothing is read or inserted, for the schema is of a newer gannet", "err", err.Error())
	}
}

// Check gives an ErrNewer where the schema is of a later version of the program, and nil
// where it is not or nobody answers: Migrate looks again.
func (s *Store) Check(ctx context.Context) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	version, err := s.version(ctx)
	if err != nil {
		return nil
	}
	switch newest := steps[len(steps)-1].version; {
	case version > newest:
		err := s.newer(version, newest)
		s.refuse(err)
		return err
	case version == newest:
		s.schema.Store(&verdict{})
	}
	return nil
}
