package report

import (
	"strings"
	"testing"
)

func TestAClusterTableSaysWhatWasMissed(t *testing.T) {
	good, slow, bad := ClusterRow{Fault: "good", Round: 1}, ClusterRow{Fault: "slow", Round: 1}, ClusterRow{Fault: "bad", Round: 2, FaultCount: 3, Faults: []string{"a seq was given twice"}}
	good.Took(ClusterTime{After: "the kill", Seconds: 0.9, Bar: 1})
	good.Took(ClusterTime{After: "the start", Seconds: 99})
	slow.Took(ClusterTime{After: "the kill", Seconds: 1.1, Bar: 1})
	c := ClusterFaults{Rows: []ClusterRow{good, slow, bad}}
	if c.Failed() != 2 || c.Broken() != 1 || good.Failed() || slow.Broken() {
		t.Errorf("%d rounds fail, the good one: %t; in %d more than a bar is missed, in the slow one: %t", c.Failed(), good.Failed(), c.Broken(), slow.Broken())
	}
	text := c.Markdown()
	for _, want := range []string{
		"| good | 0.90 s after the kill (1), 99.00 s after the start |", "Rounds that fail: 2 of 3.",
		"slow, round 1: not every user was served 1 s after the kill, but 1.10 s", "bad, round 2: a seq was given twice", "bad, round 2: and 2 more",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if all := (&ClusterFaults{Rows: []ClusterRow{good}}).Markdown(); !strings.Contains(all, "Every check and every bar holds.") {
		t.Errorf("where nothing fails it says\n%s", all)
	}
}
