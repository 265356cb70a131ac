package registry

import (
	"cmp"
	"slices"
	"sync"
)

// View is a snapshot of the registry. It does not change.
type View struct {
	// Version rises whenever a node comes, leaves, dies or changes, whatever becomes of
	// the store, and is the same number for all processes: of two views the one with the
	// higher version is the newer.
	Version uint64

	// Settling says that the store lost what it knew less than an expiry ago: there may
	// be nodes that this process never heard of. Two processes may see different nodes
	// under one version as long as it lasts.
	Settling bool

	// Nodes are all nodes, by id.
	Nodes []Node

	epochs     map[uint64]int // where in Nodes
	superseded chan struct{}
	once       sync.Once
}

// NewView makes a View of nodes, which it keeps.
func NewView(version uint64, settling bool, nodes []Node) *View {
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Epoch, b.Epoch)) })
	v := &View{Version: version, Settling: settling, Nodes: nodes, epochs: make(map[uint64]int, len(nodes)), superseded: make(chan struct{})}
	for i := range nodes {
		v.epochs[nodes[i].Epoch] = i
	}
	return v
}

// Superseded is closed when there is a newer view.
func (v *View) Superseded() <-chan struct{} { return v.superseded }

// Supersede says that there is one. It is for adapters, which have stored it already.
func (v *View) Supersede() { v.once.Do(func() { close(v.superseded) }) }

// Epoch gives the node with a registration.
func (v *View) Epoch(epoch uint64) (Node, bool) {
	i, ok := v.epochs[epoch]
	if !ok {
		return Node{}, false
	}
	return v.Nodes[i], true
}

// Of gives the nodes of a role, those that drain included, by id.
func (v *View) Of(role Role) (nodes []Node) {
	for i := range v.Nodes {
		if v.Nodes[i].Role == role {
			nodes = append(nodes, v.Nodes[i])
		}
	}
	return nodes
}
