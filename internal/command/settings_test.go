package command

import (
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
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
		if s.setMemory(&g); g.OutboxMemory != c.outbox || g.BegunMemory != c.begun {
			t.Errorf("%q: %d and %d bytes", c.flags, g.OutboxMemory, g.BegunMemory)
		}
	}
	for _, flag := range []string{"--begun-memory=0", "--begun-memory=-1", "--outbox-memory=-1"} {
		name, _, _ := strings.Cut(flag, "=")
		if err := parseServe(t, flag).check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", flag, err)
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
