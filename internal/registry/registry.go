// Package registry knows which nodes of each role live. It is where a process finds another node,
// such as the owner of a queue or the gateway of a connection. registrytest has its suite.
package registry

import (
	"context"
	"fmt"
	"time"
)

// Registry is the port, as one process sees it. All methods are safe for concurrent use.
//
// A node is in the registry from its registration until that ends: because the node left, or
// because it was silent for one expiry. While the store of the registry is away, no node is
// declared dead, nor for one expiry after the store is back, with its data or without. In that
// time the old view stays, and only grows by nodes that come.
type Registry interface {
	// View gives the newest snapshot. It never waits and is never nil.
	View() *View

	// Refresh updates the view, so that it has all registrations made before the call. After an
	// error the view is as before.
	Refresh(ctx context.Context) error

	// Register enters the node under an epoch that was never used before, and keeps it
	// registered. This ends an earlier registration of the same node. It reads ID, Role,
	// Addresses, Keys and State of the node (no State means Serving) and fills in the rest.
	Register(ctx context.Context, node Node) (Registration, error)

	// Ended says whether the registration of an epoch has ended. An ended registration never
	// comes back, so whatever was meant for it may be given up. If the view does not have the
	// epoch, Ended asks the store. It does not call an epoch ended that is only unknown because
	// the store was away, or lost its data less than one expiry ago. If there is an error, the
	// result means nothing.
	Ended(ctx context.Context, epoch uint64) (bool, error)

	// Counts gives for each epoch the number that its node last passed to Registration.Count.
	Counts(ctx context.Context) (map[uint64]uint64, error)
}

// Registration is a node's own place in the registry.
type Registration interface {
	// Epoch is the number of this registration.
	Epoch() uint64

	// Ended is closed when the node learns that its registration ended although it did not leave:
	// the node stood still for longer than an expiry, or the store lost its data. Others may have
	// given up whatever was meant for this epoch. So a gateway registers again, binds its
	// connections under the new epoch and tells them to sync.
	Ended() <-chan struct{}

	// SetState tells all other nodes the state of this one.
	SetState(ctx context.Context, state State) error

	// Count sets how many devices are connected to the node, or whatever else its role counts. It
	// never waits; the number is passed on later.
	Count(n uint64)

	// Leave ends the registration. If it fails, the registration ends by itself after an expiry.
	Leave(ctx context.Context) error
}

// Role is what a node does.
type Role string

// The roles.
const (
	Gateway  Role = "gateway"
	Logic    Role = "logic"
	Transfer Role = "transfer"
)

// State is the state of a node.
type State string

// The states.
const (
	Joining  State = "joining" // it owns nothing yet: the owners get ready to hand over
	Serving  State = "serving"
	Draining State = "draining" // it finishes what it has and owns nothing more
)

// Node is one process in one role.
type Node struct {
	ID    uint64 `json:"id"` // random, one for the life of the process
	Role  Role   `json:"role"`
	Epoch uint64 `json:"epoch"` // of the registration, never used again

	// Addresses are where it listens, as host:port, by what for: "rpc", "debug".
	Addresses map[string]string `json:"addresses"`

	// Keys names the keys whose tokens the node accepts. Only logic nodes have any.
	Keys []string `json:"keys,omitempty"`

	State State     `json:"state"`
	Since time.Time `json:"since"` // of the registration, by the clock of the store
}

// Check returns an error if the node cannot be registered as it is.
func (n *Node) Check() error {
	switch {
	case n.ID == 0:
		return fmt.Errorf("registry: a node of role %q has no id", n.Role)
	case n.Role == "":
		return fmt.Errorf("registry: node %x has no role", n.ID)
	}
	return nil
}
