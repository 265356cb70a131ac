//go:build cluster

package owner_test

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/logic/cluster/owner"
)

// TestBrokerThatKeepsTooLittle: a node that was told for how long the broker keeps records
// says so if it removes younger ones, and not if only old ones went, or none.
func TestBrokerThatKeepsTooLittle(t *testing.T) {
	l := newLosing(t)
	const stated = 72 * time.Hour
	var mu sync.Mutex
	var said strings.Builder
	now := time.Now()
	l.node.stop()
	l.tune = func(o *owner.Options) {
		o.Log = slog.New(slog.NewTextHandler(locked{&mu, &said}, nil))
		o.Retention = stated
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	}
	l.node = l.start(2)
	l.node.waitOwned()
	l.talk()
	l.flush()
	warned := func(later time.Duration) (uint64, string) {
		t.Helper()
		mu.Lock()
		now = now.Add(later)
		said.Reset()
		mu.Unlock()
		before := l.node.owner.Vars()["short.retention"]
		for i := range l.queues {
			must(t, l.node.owner.LookAtRetention(i))
		}
		mu.Lock()
		defer mu.Unlock()
		return l.node.owner.Vars()["short.retention"] - before, said.String()
	}
	if n, log := warned(0); n != 0 || log != "" {
		t.Errorf("of a broker that has removed nothing it says %q", log)
	}
	for _, q := range queuesOf(l.queues) {
		l.memory.Age(q, 1)
	}
	n, log := warned(time.Hour)
	if n == 0 || !strings.Contains(log, "sooner") || !strings.Contains(log, "--broker-retention=72h0m0s") || !strings.Contains(log, "kept=1h0m") {
		t.Errorf("of a broker that has removed what is an hour old it says %q, %d times", log, n)
	}
	if n, log := warned(stated); n != 0 || log != "" {
		t.Errorf("of a broker that has removed what is old it says %q", log)
	}
}
