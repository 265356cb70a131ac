package registry

import (
	"cmp"
	"slices"
	"sync"
)

// View is a snapshot of the registry. It does not change.
type View struct {
	// Version rises whenever a node comes, leaves, dies or changes, even if the store loses its
	// data. It is the same number for all processes: of two views, the one with the higher
	// version is newer.
	Version uint64

	// Settling says that the store lost its data less than one expiry ago. Until it ends, nodes
	// may exist that this process has never heard of, and two processes may see different nodes
	// under the same version.
	Settling bool

	// Nodes are all nodes, by id.
	Nodes []Node

	epochs     map[uint64]int // the index in Nodes of the node with an epoch
	superseded chan struct{}
	once       sync.Once
}

// NewView makes a View of nodes. It keeps the slice.
func NewView(version uint64, settling bool, nodes []Node) *View {
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Epoch, b.Epoch)) })
	v := &View{Version: version, Settling: settling, Nodes: nodes, epochs: make(map[uint64]int, len(nodes)), superseded: make(chan struct{})}
	for i := range nodes {
		v.epochs[nodes[i].Epoch] = i
	}
	return v
}

// Superseded gives a channel that is closed when there is a newer view.
func (v *View) Superseded() <-chan struct{} { return v.superseded }

// Supersede closes the channel of Superseded. Adapters call it after they have stored the newer
// view.
func (v *View) Supersede() { v.once.Do(func() { close(v.superseded) }) }

// Epoch gives the node whose registration has this epoch.
func (v *View) Epoch(epoch uint64) (Node, bool) {
	i, ok := v.epochs[epoch]
	if !ok {
		return Node{}, false
	}
	return v.Nodes[i], true
}

// Of gives the nodes of a role, by id. Nodes that join or drain are among them.
func (v *View) Of(role Role) (nodes []Node) {
	for i := range v.Nodes {
		if v.Nodes[i].Role == role {
			nodes = append(nodes, v.Nodes[i])
		}
	}
	return nodes
}
