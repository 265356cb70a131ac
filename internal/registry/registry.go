// Package registry knows which nodes of each role live. Whoever needs another node, the
// owner of a queue or the gateway of a connection, finds it here. Its suite is in
// registrytest.
package registry

import (
	"context"
	"fmt"
	"time"
)

// Registry is the port, as one process sees it. All methods are safe for concurrent
// use.
//
// A node is in the registry from its registration until that ends: because the node
// left, or because nothing was heard of it for one expiry. While the store of the
// registry is away, and for one expiry after it came back, with or without what it
// knew, nobody is declared dead: the view of before stays, and grows by those who come.
type Registry interface {
	// View gives the newest snapshot. It never waits and is never nil.
	View() *View

	// Refresh brings the view up to what was registered before the call. An error
	// means that the view stays as it was.
	Refresh(ctx context.Context) error

	// Register enters the node under an epoch that was never used before, and keeps it
	// there. An earlier registration of the same node ends with that. ID, Role, Addresses
	// and State of the node count, and no State is Serving; the rest is the registry's to
	// fill in.
	Register(ctx context.Context, node Node) (Registration, error)

	// Ended says whether the registration of an epoch has ended: then it never comes
	// back, and what was meant for it may be given up. An epoch that the view does not
	// have is asked for. It is never said of one that is only unknown because the store
	// was away or lost what it knew less than one expiry ago. With an error nothing
	// is said.
	Ended(ctx context.Context, epoch uint64) (bool, error)

	// Counts gives for each epoch what its node said last with Registration.Count.
	Counts(ctx context.Context) (map[uint64]uint64, error)
}

// Registration is a node's own place in the registry.
type Registration interface {
	// Epoch is the number of this registration.
	Epoch() uint64

	// Ended is closed when the node has learned that the registration ended though it
	// did not leave: it stood still for longer than an expiry, or the store lost
	// what it knew. Others may have given up what was meant for it, so a gateway
	// registers again, binds its connections under the new epoch and tells them to
	// sync.
	Ended() <-chan struct{}

	// SetState tells all others.
	SetState(ctx context.Context, state State) error

	// Count says how many devices are connected to the node, or whatever its role
	// counts. It is passed on with time and never waits.
	Count(n uint64)

	// Leave ends the registration. With an error it ends by itself after an expiry.
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

// State is how a node is.
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

	State State     `json:"state"`
	Since time.Time `json:"since"` // of the registration, by the clock of the store
}

// Check says what is wrong with a node that is to be registered.
func (n *Node) Check() error {
	switch {
	case n.ID == 0:
		return fmt.Errorf("registry: a node of role %q has no id", n.Role)
	case n.Role == "":
		return fmt.Errorf("registry: node %x has no role", n.ID)
	}
	return nil
}
