package cluster

import (
	"context"
	"errors"
	"fmt"
)

// Copy is a place where the plan is kept. The suite in internal/cluster/conformance holds
// every adapter to its guarantee.
type Copy interface {
	// Load gives the plan, nil if there is none. An error says that nobody knows.
	Load(ctx context.Context) (*Plan, error)

	// Save keeps a plan where there is none, and gives the one that is kept. Of different
	// ones that are saved at once one is left. A copy that decides gives just that one to
	// all who save; with another, one of them may be given its own, which another that was
	// made in the same second displaces a moment later.
	Save(ctx context.Context, plan *Plan) (*Plan, error)
}

// ErrNone says that there is no cluster yet.
var ErrNone = errors.New("cluster: it was never made")

// ErrDiffer says that the two copies tell of different clusters.
var ErrDiffer = errors.New("cluster: Redis and ClickHouse hold the plans of different clusters")

// Agree gives the plan of the cluster and mends the copy that lacks it. near is where
// nodes look first, and decides between those that start at once; far may be away: then
// near alone is believed. A plan is made only where both say that there is none, by make;
// nil: that is ErrNone. Where near has none and far is away, nobody knows whether near was
// emptied, and that is an error.
func Agree(ctx context.Context, near, far Copy, make func() (*Plan, error)) (*Plan, error) {
	plan, err := near.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("cluster: the plan cannot be read from Redis: %w", err)
	}
	kept, farErr := far.Load(ctx)
	switch {
	case plan == nil && farErr != nil:
		return nil, fmt.Errorf("cluster: Redis has no plan, and whether it was emptied only ClickHouse knows, which does not answer: %w", farErr)
	case plan == nil && kept != nil:
		plan, err = near.Save(ctx, kept)
	case plan == nil && make == nil:
		return nil, ErrNone
	case plan == nil:
		if plan, err = make(); err == nil {
			plan, err = near.Save(ctx, plan)
		}
	}
	if err != nil {
		return nil, err
	}
	if farErr == nil && kept == nil {
		if kept, err = far.Save(ctx, plan); err != nil {
			return plan, nil // the next node that starts tries again
		}
	}
	if kept != nil && !kept.Equal(plan) {
		return nil, fmt.Errorf("%w (%x and %x)", ErrDiffer, plan.Server, kept.Server)
	}
	return plan, nil
}
