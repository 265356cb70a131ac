// Package cluster holds what is decided once, when a cluster is made: its identity, how many queues
// of each class it has, and where each queue lies. Everything else follows from that (the lanes of
// gateways, owners, hash tags of keys). So all nodes must have the same plan as long as the cluster
// lives.
//
// The plan is kept in two places that lose data at different times (Copy): in Redis, where nodes
// find it, and in ClickHouse, from which an emptied Redis gets it back. A node that starts calls
// Agree.
package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"time"

	"gannet/internal/chain"
	"gannet/protocol"
)

// version is the version of a plan's format.
const version = 1

// Plan is what was decided.
type Plan struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`   // part of the names of all keys, topics and tables
	Server  []byte    `json:"server"` // 16 random bytes; WELCOME carries them
	Made    time.Time `json:"made"`
	Chat    []Place   `json:"chat"`   // where each queue lies, by its number
	System  []Place   `json:"system"` // likewise
}

// Place says where a queue lies.
type Place struct {
	Topic  string `json:"topic"`
	Broker string `json:"broker"` // its name
	Queue  int    `json:"queue"`  // its number in the topic
}

// names matches the names that a cluster may have. Redis, RocketMQ and ClickHouse must accept them
// as a part of their own names, and the length is limited.
var names = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// CheckName says what is wrong with the name of a cluster.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("cluster: %q is no name: it has at most 32 letters a to z, digits and _, and begins with a letter", name)
	}
	return nil
}

// New makes a plan with so many queues of each class, dealt out to the brokers in turn.
func New(name string, queues int, brokers []string) (*Plan, error) {
	if len(brokers) == 0 {
		return nil, errors.New("cluster: there is no broker for its queues")
	}
	brokers = slices.Sorted(slices.Values(brokers)) // every node deals them out alike
	p := &Plan{Version: version, Name: name, Server: make([]byte, 16), Made: time.Now().UTC().Truncate(time.Second)}
	_, _ = rand.Read(p.Server) // it never fails
	for n := range queues {
		broker, at := brokers[n%len(brokers)], n/len(brokers)
		p.Chat = append(p.Chat, Place{name + "_chat", broker, at})
		p.System = append(p.System, Place{name + "_system", broker, at})
	}
	return p, p.Check()
}

// Check says what is wrong with a plan, wherever it comes from.
func (p *Plan) Check() error {
	if p.Version != version {
		return fmt.Errorf("cluster: the plan has form %d, this program knows %d: all nodes need a program that knows it", p.Version, version)
	}
	if err := CheckName(p.Name); err != nil {
		return err
	}
	if len(p.Server) != 16 {
		return fmt.Errorf("cluster: the identity in the plan has %d bytes, not 16", len(p.Server))
	}
	places := map[Place]bool{}
	for _, list := range [][]Place{p.Chat, p.System} {
		if len(list) == 0 || len(list) > protocol.Partitions {
			return fmt.Errorf("cluster: %d queues of a class; there are 1 to %d", len(list), protocol.Partitions)
		}
		for _, at := range list {
			if at.Topic == "" || at.Broker == "" || at.Queue < 0 || places[at] {
				return fmt.Errorf("cluster: two queues of the plan lie at one place, or one at none: %+v", at)
			}
			places[at] = true
		}
	}
	return nil
}

// Queues gives all queues of a class, or of every class if class is 0.
func (p *Plan) Queues(class chain.Class) (list []chain.Queue) {
	for c, places := range map[chain.Class][]Place{chain.Chat: p.Chat, chain.System: p.System} {
		if class != 0 && class != c {
			continue
		}
		for n := range places {
			list = append(list, chain.Queue{Class: c, Number: n})
		}
	}
	slices.SortFunc(list, func(x, y chain.Queue) int {
		if x.Class != y.Class {
			return int(x.Class) - int(y.Class)
		}
		return x.Number - y.Number
	})
	return list
}

// Place says where a queue of the plan lies.
func (p *Plan) Place(q chain.Queue) Place {
	if q.Class == chain.System {
		return p.System[q.Number]
	}
	return p.Chat[q.Number]
}

// Topics gives for each topic and broker how many queues the broker must have of it.
func (p *Plan) Topics() map[Topic]int {
	topics := map[Topic]int{}
	for _, at := range slices.Concat(p.Chat, p.System) {
		t := Topic{at.Topic, at.Broker}
		topics[t] = max(topics[t], at.Queue+1)
	}
	return topics
}

// Topic is one topic on one broker.
type Topic struct{ Name, Broker string }

// Equal says whether two plans decide the same.
func (p *Plan) Equal(o *Plan) bool { return reflect.DeepEqual(p, o) }

// Encode gives the form in which a Copy keeps a plan.
func (p *Plan) Encode() ([]byte, error) { return json.Marshal(p) }

// Decode reads what Encode wrote, and checks the plan.
func Decode(b []byte) (*Plan, error) {
	p := new(Plan)
	if err := json.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("cluster: the plan cannot be read: %w", err)
	}
	return p, p.Check()
}
