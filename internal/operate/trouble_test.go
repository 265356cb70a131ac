package operate

import (
	"testing"
	"testing/synctest"
)

func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trouble Trouble
		lines := 0
		for range 1000 {
			if trouble.Note() {
				lines++
			}
		}
		if lines != 1 || trouble.Times() != 1000 {
			t.Errorf("a thousand times in a moment gave %d lines and are counted as %d", lines, trouble.Times())
		}
	})
}
