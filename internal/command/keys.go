package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"gannet/internal/registry"
	"gannet/internal/token"
)

// loadKeys loads the keys of a logic node whose cluster exists. It never makes a key: every other
// logic node would refuse a token signed with that key, and this node would refuse theirs.
func (c *logicCmd) loadKeys() (*token.Keys, error) {
	keys, err := token.LoadKeys(c.Keys)
	if errors.Is(err, token.ErrNone) || errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: cluster %s exists, and its logic nodes have the keys of its tokens; copy their folder to %s, or say with --keys where it is", err, c.Cluster, c.Keys)
	}
	return keys, err
}

// sameKeys returns an error if another logic node has no key in common with this one, for then
// each refuses the tokens that the other takes. If just some differ, as while keys are exchanged
// node by node, it warns. Of two nodes that started together, the one that came later is refused.
func (n *node) sameKeys(ctx context.Context) error {
	if err := n.registry.Refresh(ctx); err != nil {
		return err
	}
	return differ(n.registry.View(), n.id, n.keys, n.log)
}

func differ(view *registry.View, id uint64, keys []string, log *slog.Logger) error {
	own := slices.IndexFunc(view.Nodes, func(o registry.Node) bool { return o.ID == id })
	for _, o := range view.Nodes {
		if o.ID == id || len(o.Keys) == 0 || o.State == registry.Draining || own >= 0 && view.Nodes[own].Since.Before(o.Since) {
			continue
		}
		common := 0
		for _, k := range o.Keys {
			if slices.Contains(keys, k) {
				common++
			}
		}
		switch address := o.Addresses[registry.RPC]; {
		case common == 0:
			return fmt.Errorf("the logic node at %s has other keys of tokens (%s) than this one (%s), so each would refuse the clients of the other: give all logic nodes the same folder of keys (--keys)",
				address, strings.Join(o.Keys, ", "), strings.Join(keys, ", "))
		case common < len(keys) || common < len(o.Keys):
			log.Warn("another logic node has not the same keys of tokens: a token whose key just one of them has is refused by the other", "other", address, "keys", o.Keys, "here", keys)
		}
	}
	return nil
}
