package scenario

import (
	"testing"

	"gannet/benchmark/load"
)

func TestFiguresOfACluster(t *testing.T) {
	m := &measurement{
		counts: load.Counts{Delivered: 100},
		used: usages{cpuOf + "broker": 500, cpuOf + "logic": 300, "pulls": 7}.minus(
			usages{cpuOf + "broker": 100, cpuOf + "logic": 100, "pulls": 2}),
	}
	got := map[string]float64{}
	for _, f := range clusterFigures([]*measurement{m}) {
		got[f.name] = f.of(m)
	}
	for name, want := range map[string]float64{
		cpuOf + "all": 6, cpuOf + "broker": 4, cpuOf + "logic": 2, "pulls a thousand messages": 50,
	} {
		if got[name] != want {
			t.Errorf("%s is %v and should be %v", name, got[name], want)
		}
	}
	if len(got) != 4 {
		t.Errorf("there are figures of what was not used: %v", got)
	}
}
