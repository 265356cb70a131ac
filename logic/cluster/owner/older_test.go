//go:build cluster

package owner_test

import (
	"context"
	"sync/atomic"
	"testing"

	"gannet/internal/chain"
	"gannet/logic/cluster/owner"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// agedHistory is a history that once comes back as it was some time ago: after its mark was read,
// and before its conversations are.
type agedHistory struct {
	*archive
	older atomic.Bool // it comes back older next, once
	back  func()      // has it come back older
}

// Rebuild implements owner.History.
func (h *agedHistory) Rebuild(ctx context.Context, q chain.Queue, only []protocol.Conversation, take func(list []view.Whole, done, parts int) error) (chain.Mark, error) {
	if h.older.CompareAndSwap(true, false) {
		h.back()
	}
	return h.archive.Rebuild(ctx, q, only, take)
}

// TestHistoryOlderMeanwhile: a history comes back older while the view of an emptied Redis is made
// from it, so that what lies between is neither in its conversations nor in the records that were
// read for them. None of these conversations is brought back; the records are read again, from the
// mark that the history has now.
func TestHistoryOlderMeanwhile(t *testing.T) {
	aged := &agedHistory{}
	var older *archive
	l := newLosingWith(t, func(l *losing) {
		aged.archive = l.archive
		l.tune = func(o *owner.Options) { o.History = aged }
		aged.back = func() {
			a := l.archive
			a.mu.Lock()
			defer a.mu.Unlock()
			a.talks, a.states, a.marks = older.talks, older.states, older.marks
			for q, mark := range older.marks { // as its feeder tells when it notices
				l.node.owner.FeedAgain(q, mark)
			}
		}
	})
	l.talk()
	l.flush()
	l.aged()
	older = l.archive.clone()
	l.talk()
	l.flush()
	l.waitFed()
	before := l.shown()
	aged.older.Store(true)
	l.server.Kill()
	l.server.Start()
	l.back(before)
	conversations := uint64(len(l.list) / 2)
	if v := l.node.owner.Vars(); v["repair.rebuilds"] <= uint64(l.queues) || v["rebuilt.conversations"] != conversations {
		t.Errorf("%d of %d conversations were brought back, in %d turns", v["rebuilt.conversations"], conversations, v["repair.rebuilds"])
	}
	l.waitFed()
	l.whole()
}
