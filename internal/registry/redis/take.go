package redis

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"gannet/internal/registry"
)

var errAnswer = errors.New("registry: Redis gives an answer that is none")

// take reads the answer of the script and makes a view of it if it is newer than ours.
//
// While the registry settles, the view also keeps the nodes of the view before that are missing
// in the answer: they may have had no time to register again. A node that has registered again,
// under whatever epoch, replaces its old entry.
func (r *Registry) take(answer any) (ended bool, err error) {
	fields, ok := answer.([]any)
	if !ok || len(fields) != 4 {
		return false, errAnswer
	}
	code, ok1 := fields[0].(int64)
	version, ok2 := number(fields[1])
	settled, ok3 := number(fields[2])
	if !ok1 || !ok2 || !ok3 {
		return false, errAnswer
	}
	old := r.view.Load()
	list, ok := fields[3].([]any)
	if !ok || version == old.Version {
		return code == 1, nil
	}
	nodes := r.read(list)
	there := make(map[uint64]bool)
	for i := range nodes {
		there[nodes[i].ID] = true
	}
	if settled != r.settled { // Redis lost its data, or the time to settle is over
		r.settled, r.held = settled, nil
		if settled != 0 {
			r.held = slices.Clone(old.Nodes)
		}
	}
	r.held = slices.DeleteFunc(r.held, func(n registry.Node) bool { return there[n.ID] })
	view := registry.NewView(version, settled != 0, append(nodes, r.held...))
	for _, n := range old.Nodes {
		if _, lives := view.Epoch(n.Epoch); !lives {
			r.over.add(n.Epoch)
		}
	}
	r.view.Store(view)
	old.Supersede()
	return code == 1, nil
}

func number(field any) (uint64, bool) {
	text, _ := field.(string)
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

// read decodes the nodes in a list of alternating members and records.
func (r *Registry) read(list []any) (nodes []registry.Node) {
	for i := 0; i+1 < len(list); i += 2 {
		member, _ := list[i].(string)
		value, _ := list[i+1].(string)
		node, err := read(member, value)
		if err == nil {
			nodes = append(nodes, node)
		} else if r.counts.Unreadable.Note() {
			r.logger.Warn("registry: a node cannot be read", "member", member, "error", err)
		}
	}
	return nodes
}

// read decodes one node.
func read(member, value string) (n registry.Node, err error) {
	if _, err := fmt.Sscanf(member, "%16x.%16x", &n.ID, &n.Epoch); err != nil {
		return n, err
	}
	if len(value) < 14 {
		return n, errAnswer
	}
	since, err := strconv.ParseInt(value[:13], 10, 64)
	if err != nil {
		return n, err
	}
	var s stored
	if err := json.Unmarshal([]byte(value[14:]), &s); err != nil {
		return n, err
	}
	n.Role, n.State, n.Addresses, n.Keys, n.Since = s.Role, s.State, s.Addresses, s.Keys, time.UnixMilli(since)
	return n, n.Check()
}

// endings are the newest epochs that are known to have ended.
type endings struct {
	mu     sync.Mutex
	epochs map[uint64]bool
	order  [1024]uint64 // a ring: what comes goes in place of the oldest
	next   int
}

func newEndings() *endings { return &endings{epochs: make(map[uint64]bool)} }

func (e *endings) add(epoch uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.epochs[epoch] {
		return
	}
	delete(e.epochs, e.order[e.next])
	e.order[e.next], e.epochs[epoch] = epoch, true
	e.next = (e.next + 1) % len(e.order)
}

func (e *endings) has(epoch uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.epochs[epoch]
}
