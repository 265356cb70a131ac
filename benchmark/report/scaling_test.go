package report

import (
	"strings"
	"testing"
)

// scaling gives what two points give with these costs and batches.
func scaling(costs, batches [2]float64) *Scaling {
	s := &Scaling{Figures: []string{"batch", "cost"}, Costs: []string{"cost"}, Batches: []string{"batch"}}
	for i := range costs {
		s.Points = append(s.Points, Point{Nodes: 1 + i, Conversations: 1000, Figures: map[string]Spread{
			"cost": SpreadOf(costs[i : i+1]), "batch": SpreadOf(batches[i : i+1]),
		}})
	}
	return s
}

func TestACostThatRisesMissesItsBar(t *testing.T) {
	for _, c := range []struct {
		costs, batches [2]float64
		want           []string
		not            string
	}{
		{[2]float64{8, 10}, [2]float64{400, 400}, []string{"| 1.25 | ≤ 1.25 | yes |", "Every bar holds."}, "not equal"},
		{[2]float64{8, 4}, [2]float64{400, 400}, []string{"| 2 of each, 1,000: 4 | 1 of each, 1,000: 8 | 1.00 | ≤ 1.25 | yes |", "Every bar holds."}, "not equal"},
		{[2]float64{8, 10.1}, [2]float64{400, 400}, []string{"| 1.26 | ≤ 1.25 | **no** |", "do not hold: 1."}, "not equal"},
		// Batches that differ have no bar, and are told of.
		{[2]float64{8, 8}, [2]float64{400, 300}, []string{"Every bar holds.", "Batches are not equal", "batch is 300 with 2 of each, 1,000 and 400 with 1 of each"}, "**no**"},
	} {
		got := scaling(c.costs, c.batches).Markdown()
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("costs %v, batches %v: there is no %q in\n%s", c.costs, c.batches, want, got)
			}
		}
		if strings.Contains(got, c.not) {
			t.Errorf("costs %v, batches %v: there is %q in\n%s", c.costs, c.batches, c.not, got)
		}
	}
}

func TestAScalingWithFaultsIsAnError(t *testing.T) {
	var out strings.Builder
	var f Faults
	f.Addf("a message was lost")
	err := (&Scaling{}).Finish(&out, false, &f)
	if err == nil || !strings.Contains(out.String(), "Nothing was measured.") || !strings.Contains(out.String(), "- a message was lost") {
		t.Errorf("%v:\n%s", err, out.String())
	}
	if err := scaling([2]float64{8, 16}, [2]float64{1, 1}).Finish(&out, true, new(Faults)); err != nil {
		t.Errorf("a bar that was missed is an error: %v", err)
	}
}
