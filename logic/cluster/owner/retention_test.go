//go:build cluster

package owner_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gannet/logic"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
)

// TestBehindRetention: a view whose mark the queue does not have any more stops the queue,
// for nobody knows what is missing, and says what mends it. Once it is emptied the queue goes
// on by itself, from the history.
func TestBehindRetention(t *testing.T) {
	l := newLosing(t, "--save", "", "--appendonly", "no")
	var mu sync.Mutex
	var said strings.Builder
	l.tune = func(o *owner.Options) { o.Log = slog.New(slog.NewTextHandler(locked{&mu, &said}, nil)) }
	l.talk()
	l.flush()
	must(t, l.node.redis.Save(t.Context()).Err())
	l.talk()
	l.flush()
	before := l.shown()
	l.waitFed()
	l.node.stop()
	l.server.Kill()
	l.server.Start()
	first := make([]int64, l.queues)
	for i, q := range queuesOf(l.queues) {
		first[i] = int64(len(l.memory.All(q)) - 1)
		l.memory.Age(q, first[i])
	}
	l.node = l.start(2)
	for i := range l.queues {
		l.node.waitState(i, owner.Stopped)
	}
	if e, err := l.list[0].try(l.node, 1000); !errors.Is(err, owner.ErrStopped) || !errors.Is(err, logic.ErrUnavailable) || e.Outcome != logic.Unknown {
		t.Fatalf("a message to a queue that is stopped is %+v, %v", e, err)
	}
	if err := l.node.owner.Health(); err == nil || !strings.Contains(err.Error(), "chat queue 1") {
		t.Errorf("of its health a node with stopped queues says %v", err)
	}
	mu.Lock()
	if log := said.String(); !strings.Contains(log, "`gannet mend`") || !strings.Contains(log, "begins at offset") {
		t.Errorf("the log does not say what has happened and what mends it:\n%s", log)
	}
	mu.Unlock()
	v, err := view.New(l.node.redis, view.Options{Name: l.name, Queues: queuesOf(l.queues), Counts: l.archive})
	must(t, err)
	for i, q := range queuesOf(l.queues) {
		w, err := v.Writer(q)
		must(t, err)
		if keys, err := w.Empty(t.Context(), first[i]); err != nil || keys == 0 {
			t.Fatalf("of a view that is behind %d keys are removed, %v", keys, err)
		}
	}
	l.node.waitOwned()
	l.back(before)
	if err := l.node.owner.Health(); err != nil {
		t.Error(err)
	}
	for i, q := range queuesOf(l.queues) {
		w, err := v.Writer(q)
		must(t, err)
		if keys, err := w.Empty(t.Context(), first[i]); err != nil || keys != 0 {
			t.Fatalf("of a view that is well %d keys are removed, %v", keys, err)
		}
	}
}

// locked is a log that is read meanwhile.
type locked struct {
	mu *sync.Mutex
	to *strings.Builder
}

func (l locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}
