package command

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// clusterRoles are the commands that start a node of a cluster.
var clusterRoles = []string{"gateway", "logic", "transfer"}

// roleSettings are the settings of a role that name servers to ask.
type roleSettings struct {
	role string
	clusterFlags
	queue   *queueFlags   // nil: it does not work with the brokers
	history *historyFlags // nil: nor with ClickHouse
}

// readRole reads the settings as a role does when it starts, with those of the given flags that the
// role has. The error says what is wrong with them.
func readRole(role string, given map[string]string) (roleSettings, error) {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		return roleSettings{}, err
	}
	names := flagNames(parser.Model.Children[slices.IndexFunc(parser.Model.Children, func(n *kong.Node) bool { return n.Name == role })])
	arguments := []string{role}
	for _, name := range sorted(given) {
		if name == "config" || slices.Contains(names, name) {
			arguments = append(arguments, "--"+name+"="+given[name])
		}
	}
	if _, err := parser.Parse(arguments); err != nil {
		return roleSettings{}, err
	}
	switch role {
	case "gateway":
		return roleSettings{role, c.Gateway.clusterFlags, nil, nil}, nil
	case "logic":
		return roleSettings{role, c.Logic.clusterFlags, &c.Logic.queueFlags, &c.Logic.historyFlags}, nil
	default:
		return roleSettings{role, c.Transfer.clusterFlags, &c.Transfer.queueFlags, nil}, nil
	}
}

// givenFlags gives the flags of a command line, as they are written there.
func givenFlags(line *kong.Context) map[string]string {
	given := map[string]string{}
	for _, at := range line.Path {
		if at.Flag == nil || at.Resolved {
			continue
		}
		value := reflect.ValueOf(line.FlagValue(at.Flag))
		given[at.Flag.Name] = fmt.Sprint(value)
		if list, ok := value.Interface().([]string); ok {
			given[at.Flag.Name] = strings.Join(list, ",")
		}
	}
	return given
}

// servers lists the servers of one kind that the settings of the roles name, each server once, with
// the roles that name it.
type servers[K comparable] struct {
	list  []K
	roles map[K][]string
}

func (s *servers[K]) add(server K, role string) {
	if s.roles == nil {
		s.roles = map[K][]string{}
	}
	if s.roles[server] == nil {
		s.list = append(s.list, server)
	}
	if !slices.Contains(s.roles[server], role) {
		s.roles[server] = append(s.roles[server], role)
	}
}

// of says which roles name a server. It gives "" if all the roles that use its kind name it; users
// is their number.
func (s *servers[K]) of(server K, users int) string {
	if len(s.roles[server]) == users {
		return ""
	}
	return " of " + strings.Join(s.roles[server], ", ")
}
