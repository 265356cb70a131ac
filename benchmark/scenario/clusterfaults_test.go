package scenario

import (
	"io"
	"strings"
	"testing"
)

// Each fault has a name of its own, says what it does, and can be played alone.
func TestFaultsAreListed(t *testing.T) {
	var out strings.Builder
	if err := (&ClusterFaults{List: true}).Run(t.Context(), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		name, does, _ := strings.Cut(line, " ")
		if seen[name] || strings.TrimSpace(does) == "" {
			t.Errorf("%q is listed twice, or does nothing", name)
		}
		seen[name] = true
		chosen, err := (&ClusterFaults{Only: []string{name}}).chosen()
		if err != nil || len(chosen) != 1 || chosen[0].name != name || chosen[0].play == nil {
			t.Errorf("%s alone gives %d faults, %v", name, len(chosen), err)
		}
	}
	if len(seen) < 17 {
		t.Errorf("there are %d faults", len(seen))
	}
}

func TestImpossibleFaultsAreRefused(t *testing.T) {
	for why, c := range map[string]*ClusterFaults{
		"no fault \"flood\"": {Only: []string{"flood"}, Rounds: 1, Each: 2},
		"0 rounds":           {Each: 2},
		"1 nodes":            {Rounds: 1, Each: 1},
	} {
		if err := c.Run(t.Context(), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q gave %v", why, err)
		}
	}
}
