// Package conformance tests adapters of cluster.Copy. An adapter's tests call Copy, and also
// Deciding if the adapter decides between plans that are saved at once.
package conformance

import (
	"sync"
	"testing"

	"gannet/internal/cluster"
)

// Place is where an adapter keeps copies of plans.
type Place struct {
	// Copy gives the copy of the cluster with this name, as another node sees it. The test alone
	// uses the names that it gets for "a" and "b".
	Copy func(name string) cluster.Copy

	// Away gives a copy whose server cannot be reached.
	Away func() cluster.Copy

	// Damage puts bytes that are no plan where the copy of "a" is kept.
	Damage func(text string)
}

// Open gives a place without plans, which it empties when the test ends.
type Open func(t *testing.T) Place

// Copy holds an adapter of cluster.Copy to its guarantees.
func Copy(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Place)
	}{
		{"the first plan stays", firstStays},
		{"each cluster has its own", eachItsOwn},
		{"of several that are saved at once one is left", oneIsLeft},
		{"a server that is away is an error, and no missing plan", awayIsAnError},
		{"what is no plan is an error", damageIsAnError},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Deciding tests what cluster.Agree needs of its near copy in addition.
func Deciding(t *testing.T, open Open) {
	t.Run("all that save at once are given the same plan", func(t *testing.T) {
		p := open(t)
		plans := p.saveAtOnce(t)
		for _, got := range plans {
			p.want(t, got, plans[0])
		}
	})
}

// plan makes a plan like no other.
func plan(t *testing.T) *cluster.Plan {
	t.Helper()
	p, err := cluster.New("test", 3, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// want checks that a plan is the wanted one, and that another node loads the same plan.
func (p Place) want(t *testing.T, got, want *cluster.Plan) {
	t.Helper()
	if got == nil || !got.Equal(want) {
		t.Errorf("the plan is %+v, want %+v", got, want)
	}
	if kept, err := p.Copy("a").Load(t.Context()); err != nil || kept == nil || !kept.Equal(want) {
		t.Errorf("kept is %+v, %v; want %+v", kept, err, want)
	}
}

func firstStays(t *testing.T, p Place) {
	if got, err := p.Copy("a").Load(t.Context()); got != nil || err != nil {
		t.Fatalf("before anybody saved there is %v, %v", got, err)
	}
	first := plan(t)
	for _, saved := range []*cluster.Plan{first, plan(t), first, plan(t)} {
		got, err := p.Copy("a").Save(t.Context(), saved)
		if err != nil {
			t.Fatal(err)
		}
		p.want(t, got, first)
	}
}

func eachItsOwn(t *testing.T, p Place) {
	first, second := plan(t), plan(t)
	if _, err := p.Copy("a").Save(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Copy("b").Load(t.Context()); got != nil || err != nil {
		t.Fatalf("another cluster has the plan %v, %v", got, err)
	}
	if got, err := p.Copy("b").Save(t.Context(), second); err != nil || !got.Equal(second) {
		t.Fatalf("another cluster is given %v, %v", got, err)
	}
	p.want(t, first, first)
}

// saveAtOnce saves different plans from some nodes at once. It gives the plans that Save returned.
func (p Place) saveAtOnce(t *testing.T) []*cluster.Plan {
	t.Helper()
	plans := make([]*cluster.Plan, 8)
	var all sync.WaitGroup
	for i := range plans {
		mine := plan(t)
		all.Go(func() {
			var err error
			if plans[i], err = p.Copy("a").Save(t.Context(), mine); err != nil || plans[i] == nil {
				t.Errorf("save: %v, %v", plans[i], err)
			}
		})
	}
	all.Wait()
	return plans
}

func oneIsLeft(t *testing.T, p Place) {
	plans := p.saveAtOnce(t)
	left, err := p.Copy("a").Load(t.Context())
	if err != nil || left == nil {
		t.Fatalf("left is %v, %v", left, err)
	}
	known := false
	for _, got := range plans {
		known = known || got != nil && got.Equal(left)
	}
	if !known {
		t.Errorf("left is %+v, which nobody was given", left)
	}
	for range 3 {
		got, err := p.Copy("a").Save(t.Context(), plan(t))
		if err != nil {
			t.Fatal(err)
		}
		p.want(t, got, left)
	}
}

func awayIsAnError(t *testing.T, p Place) {
	if got, err := p.Away().Load(t.Context()); err == nil {
		t.Errorf("load: %v", got)
	}
	if got, err := p.Away().Save(t.Context(), plan(t)); err == nil {
		t.Errorf("save: %v", got)
	}
}

func damageIsAnError(t *testing.T, p Place) {
	p.Damage("{}")
	if got, err := p.Copy("a").Load(t.Context()); err == nil {
		t.Errorf("load: %v", got)
	}
	if got, err := p.Copy("a").Save(t.Context(), plan(t)); err == nil {
		t.Errorf("save: %v", got)
	}
}
