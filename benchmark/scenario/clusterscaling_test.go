package scenario

import (
	"io"
	"slices"
	"strings"
	"testing"

	"gannet/benchmark/load"
	"gannet/benchmark/report"
)

// The table has a line for each point that was measured, and bars for what servers and
// roles cost.
func TestTheTableOfAScaling(t *testing.T) {
	run := func(broker float64) *measurement {
		return &measurement{
			seconds: 2, counts: load.Counts{Acked: 1000, Delivered: 1000, PushAcks: 100},
			used: usages{cpuOf + "broker": broker, cpuOf + "client": 9000, forwardsFigure: 8, recordsFigure: 4, pushesFigure: 5, "pulls": 3},
		}
	}
	points := []*point{
		{nodes: 1, conversations: 10, runs: []*measurement{run(5000), run(7000)}},
		{nodes: 2, conversations: 10, runs: []*measurement{run(8000)}},
		{nodes: 4, conversations: 10}, // an interrupt came before
	}
	r := report.Scaling{Batches: []string{batchFigure}}
	new(Cluster).tell(&r, points)
	if want := []string{ackedFigure, forwardFigure, batchFigure, pushFigure, acksFigure, "all, µs", "broker, µs", "client, µs"}; !slices.Equal(r.Figures, want) {
		t.Errorf("the figures are %q, want %q", r.Figures, want)
	}
	if !slices.Equal(r.Costs, []string{"broker, µs"}) {
		t.Errorf("bars have %q", r.Costs)
	}
	if got := r.Markdown(); !strings.Contains(got, "| 1 | 10 | 500 | 125 | 250 | 200 | 0.10 | 15 | 6 | 9 |\n| 2 | 10 | 500 | 125 | 250 | 200 | 0.10 | 17 | 8 | 9 |\n\n") ||
		!strings.Contains(got, "| broker, µs | 6 (5–7) | 1 of each, 10: 6 (5–7) | 2 of each, 10: 8 | 1.33 | ≤ 1.25 | **no** |") {
		t.Errorf("the tables are\n%s", got)
	}
}

// With --grow everything that there is to do grows with the nodes, and the queues stay.
func TestAScalingThatGrows(t *testing.T) {
	c := Cluster{Users: 10, Queues: 2, Rate: 30, Nodes: []int{1, 4}, Conversations: []int{20}, Window: 1, Size: 128}
	for _, grow := range []bool{false, true} {
		c.Grow = grow
		points, err := c.points()
		if err != nil || len(points) != 2 {
			t.Fatalf("%d points, %v", len(points), err)
		}
		last := c.at(points[1])
		got := [...]int{last.Gateways, last.Logics, last.Transfers, last.Users, last.Queues, int(last.Rate), points[1].conversations}
		want := [...]int{4, 4, 4, 10, 2, 30, 20}
		if grow {
			want = [...]int{4, 4, 4, 40, 2, 120, 80}
		}
		if got != want {
			t.Errorf("growing %v: four of each role have %v, want %v", grow, got, want)
		}
	}
}

// What cannot be measured is refused before anything is started.
func TestImpossibleScalingsAreRefused(t *testing.T) {
	for why, c := range map[string]Cluster{
		"from 1":                        {Nodes: []int{0}, Conversations: []int{10}},
		"and of conversations":          {Nodes: []int{1}},
		"5 conversations of 10 users":   {Nodes: []int{1}, Conversations: []int{10, 5}},
		"100 conversations of 10 users": {Nodes: []int{1}, Conversations: []int{100}},
		"a window of 5000":              {Nodes: []int{1}, Conversations: []int{10}, Window: 5000},
	} {
		c.Window = max(c.Window, 1)
		c.Scaling, c.Users, c.Size, c.Runs, c.Queues, c.Gateways, c.Logics, c.Transfers = true, 10, 128, 1, 1, 1, 1, 1
		c.Services = t.TempDir() // without servers
		if err := c.Run(t.Context(), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q gave %v", why, err)
		}
	}
}
