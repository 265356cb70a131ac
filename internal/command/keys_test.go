package command

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gannet/internal/registry"
	"gannet/internal/token"
)

// A logic node of a cluster that exists makes no keys of its own.
func TestLogicNodeMakesNoSecondKeys(t *testing.T) {
	c := &logicCmd{Keys: t.TempDir()}
	for _, dir := range []string{c.Keys, c.Keys + "/missing"} {
		c.Keys = dir
		if _, err := c.loadKeys(); err == nil || !strings.Contains(err.Error(), "--keys") {
			t.Errorf("%s: it says %v", dir, err)
		}
		if _, err := token.LoadKeys(dir); err == nil {
			t.Errorf("a key was made in %s", dir)
		}
	}
	if _, err := token.OpenKeys(c.Keys); err != nil {
		t.Fatal(err)
	}
	if _, err := c.loadKeys(); err != nil {
		t.Error(err)
	}
}

// Logic nodes whose keys have nothing in common are not let in together.
func TestSameKeys(t *testing.T) {
	first, later := time.UnixMilli(1000), time.UnixMilli(2000)
	for name, c := range map[string]struct {
		here    []string
		other   registry.Node
		refused bool
		warned  bool
	}{
		"the same":                       {here: []string{"a", "b"}, other: registry.Node{Keys: []string{"a", "b"}}},
		"one more":                       {here: []string{"a", "b"}, other: registry.Node{Keys: []string{"a"}}, warned: true},
		"one less":                       {here: []string{"a"}, other: registry.Node{Keys: []string{"a", "b"}}, warned: true},
		"others":                         {here: []string{"a"}, other: registry.Node{Keys: []string{"b"}}, refused: true},
		"others, of one that drains":     {here: []string{"a"}, other: registry.Node{Keys: []string{"b"}, State: registry.Draining}},
		"others, of one that came later": {here: []string{"a"}, other: registry.Node{Keys: []string{"b"}, Since: later}},
		"a gateway":                      {here: []string{"a"}, other: registry.Node{Role: registry.Gateway}},
	} {
		c.other.ID = 2
		view := &registry.View{Nodes: []registry.Node{{ID: 1, Keys: c.here, Since: first}, c.other}}
		var said bytes.Buffer
		err := differ(view, 1, c.here, slog.New(slog.NewTextHandler(&said, nil)))
		if (err != nil) != c.refused || (said.Len() > 0) != c.warned {
			t.Errorf("%s: it ends with %v and says %q", name, err, said.String())
		}
	}
	here, err := token.OpenKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	there, err := token.OpenKeys(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	view := &registry.View{Nodes: []registry.Node{{ID: 2, Keys: there.Names()}}}
	if err := differ(view, 1, here.Names(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("keys that two folders made are taken for the same")
	}
}
