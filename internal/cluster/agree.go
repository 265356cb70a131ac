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

	// Save keeps a plan if there is none yet, and gives the plan that is kept. If several plans are
	// saved at once, one remains. A copy that decides gives that one to every caller. Another copy
	// may give a caller its own plan, although a plan that was made in the same second replaces it
	// a moment later.
	Save(ctx context.Context, plan *Plan) (*Plan, error)
}

// ErrNone says that there is no cluster yet.
var ErrNone = errors.New("cluster: it was never made")

// ErrDiffer says that the two copies tell of different clusters.
var ErrDiffer = errors.New("cluster: Redis and ClickHouse hold the plans of different clusters")

// Agree gives the plan of the cluster, and saves it in a copy that lacks it. near is the copy where
// nodes look first; it decides between nodes that start at once. far may be away: then near is
// believed alone. If near has no plan and far is away, nobody knows whether near was emptied, and
// Agree returns an error. If both say that there is no plan, make makes one; if make is nil, Agree
// returns ErrNone.
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
