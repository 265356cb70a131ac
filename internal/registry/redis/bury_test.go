//go:build cluster

package redis_test

import (
	"testing"

	"gannet/internal/redis/redistest"
)

// One that was buried has ended for all, as by an expiry, and hears of it; the others stay,
// and a later registration of the same node does.
func TestBury(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		prefix := redistest.Prefix(t, addresses...)
		theirs, ours := open(t, prefix, addresses...), open(t, prefix, addresses...)
		settled(t, ours)
		dead, other := register(t, theirs, 1), register(t, ours, 2)
		n, ok := refresh(t, ours).Epoch(dead.Epoch())
		if !ok {
			t.Fatal("it is not there")
		}
		if err := ours.Bury(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if v := ours.View(); has(v, dead) || !has(v, other) {
			t.Errorf("after that there are %+v", v.Nodes)
		}
		if ended, err := ours.Ended(t.Context(), dead.Epoch()); !ended || err != nil {
			t.Errorf("ended: %t, %v", ended, err)
		}
		eventually(t, "it hears of its end", func() bool {
			select {
			case <-dead.Ended():
				return true
			default:
				return false
			}
		})
		again := register(t, theirs, 1)
		if err := ours.Bury(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if v := refresh(t, ours); !has(v, again) {
			t.Errorf("the end of the earlier one ended the later one: %+v", v.Nodes)
		}
	})
}
