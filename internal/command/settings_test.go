package command

import (
	"slices"
	"strings"
	"testing"

	"gannet/gateway"
)

// The flags of memory have the gateway's defaults, and reach it in bytes.
func TestMemoryOfTheGateway(t *testing.T) {
	for _, c := range []struct {
		flags         []string
		outbox, begun int64
	}{
		{nil, gateway.DefaultOutboxMemory, gateway.DefaultBegunMemory},
		{[]string{"--outbox-memory", "3", "--begun-memory", "5"}, 3 << 20, 5 << 20},
		{[]string{"--outbox-memory", "0", "--begun-memory", "1"}, -1, 1 << 20},
	} {
		var g gateway.Config
		s := parseServe(t, c.flags...)
		if s.setMemory(&g); g.OutboxMemory != c.outbox || g.BegunMemory != c.begun {
			t.Errorf("%q: %d and %d bytes", c.flags, g.OutboxMemory, g.BegunMemory)
		}
	}
}

// What cannot be meant is refused by every command that has the setting, before anything is
// begun.
func TestSettingsThatCannotBeMeant(t *testing.T) {
	t.Chdir(t.TempDir())
	var all cli
	parser, err := newParser(&all)
	if err != nil {
		t.Fatal(err)
	}
	for setting, commands := range map[string]int{ // that have it
		"begun-memory=0":                 2,
		"begun-memory=-1":                2,
		"outbox-memory=-1":               2,
		"tls-cert=file":                  2,
		"listen=nowhere":                 2,
		"listen=127.0.0.1:http":          2,
		"sockets=-1":                     2,
		"max-connections-per-address=-1": 2,
		"proxies=nowhere":                2,
		"limit-devices=-5":               3,
		"limit-conversation-devices=-1":  3,
		"debug=0.0.0.0:1":                4,
		"debug=nowhere":                  4,
		"lanes=-1":                       1,
		"lanes=1000":                     1,
		"min-free=-1":                    1,
		"redis=":                         8,
		"redis=nowhere":                  8,
		"cluster=No Name":                8,
		"rocketmq=":                      3,
		"rocketmq=127.0.0.1:0":           3,
		"clickhouse=":                    2,
		"clickhouse=:9000":               2,
		"rpc-listen=7500":                3,
		"rpc-advertise=10.0.0.1":         3,
		"queues=0":                       1,
		"queues=257":                     1,
	} {
		name, _, _ := strings.Cut(setting, "=")
		for _, command := range parser.Model.Leaves(false) {
			if parent := command.Parent.Name; parent == "bench" || parent == "config" || !slices.Contains(flagNames(command), name) { // the flags are their own, or what is looked at
				continue
			}
			commands--
			if err := parseOnly(t, append(strings.Fields(command.Path()), "--"+setting)...); err == nil || !strings.Contains(err.Error(), "--"+name) || strings.Contains(err.Error(), "missing") {
				t.Errorf("%s --%s: %v", command.Path(), setting, err)
			}
		}
		if commands != 0 {
			t.Errorf("--%s: %d commands more have it than were looked at", name, commands)
		}
	}
}

// What goes to ClickHouse is compressed where somebody asks for it.
func TestCompressionOfTheHistory(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  bool
	}{{nil, false}, {[]string{"--clickhouse-compress=none"}, false}, {[]string{"--clickhouse-compress=lz4"}, true}} {
		var all cli
		parser, err := newParser(&all)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(append([]string{"logic", "--cluster=demo"}, c.flags...)); err != nil {
			t.Fatal(err)
		}
		if o := all.Logic.options("demo", nil); o.Compress != c.want || o.Database != "demo" {
			t.Errorf("%q: %+v", c.flags, o)
		}
	}
}
