package scenario

import (
	"encoding/json"
	"errors"
	"fmt"

	"gannet/benchmark/cluster"
)

// work is what a node of a role has to do for users: a gauge of its debug address.
var work = map[string]struct{ group, gauge, what string }{
	cluster.Gateway:  {"gateway", "connections", "connections"},
	cluster.Logic:    {"queues_chat", "state.owned", "queues"},
	cluster.Transfer: {"queue_chat", "queues", "queues"},
}

// has reads how much a node has to do.
func has(n *cluster.Node) (float64, error) {
	vars, err := debugVars(n.Debug())
	if err != nil {
		return 0, err
	}
	var gauges map[string]float64
	if err := json.Unmarshal(vars[work[n.Role].group], &gauges); err != nil {
		return 0, fmt.Errorf("benchmark: %s: %w", n.Name, err)
	}
	return gauges[work[n.Role].gauge], nil
}

// victim is the node of a role that is killed or stopped, since it has the most to do, and what
// the others had at that moment. A fault of a node without any queue would show nothing.
type victim struct {
	*cluster.Node
	others []*cluster.Node
	had    float64
}

func (p *stage) victim(role string) (*victim, error) {
	v, most := &victim{}, 0.0
	for _, n := range p.cluster.Of(role) {
		at, err := has(n)
		if err != nil {
			return nil, err
		}
		v.had += at
		if at > most {
			v.Node, most = n, at
		}
	}
	if v.Node == nil {
		return nil, fmt.Errorf("no %s has any %s, so a fault of one would show nothing", role, work[role].what)
	}
	v.had -= most
	for _, n := range p.cluster.Of(role) {
		if n != v.Node {
			v.others = append(v.others, n)
		}
	}
	return v, nil
}

// replaced gives an error unless other nodes have more to do than they had: what was the victim's.
func (v *victim) replaced() error {
	var now float64
	var errs error
	for _, n := range v.others {
		at, err := has(n)
		now, errs = now+at, errors.Join(errs, err)
	}
	if errs == nil && now <= v.had {
		errs = fmt.Errorf("nobody has taken the %s of %s over: the others have %g, and had %g", work[v.Role].what, v.Name, now, v.had)
	}
	return errs
}
