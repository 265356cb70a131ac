package report

import "testing"

func TestOnlyTheFirstFaultsAreSpeltOut(t *testing.T) {
	var f Faults
	for i := range 3 * shownFaults {
		f.Addf("fault %d", i)
	}
	count, first := f.List()
	if count != 3*shownFaults || len(first) != shownFaults || first[0] != "fault 0" {
		t.Errorf("%d Faults, %d shown, the first %q", count, len(first), first[0])
	}
}
