//go:build cluster

package owner_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"gannet/logic"
)

// lateAnswer has the answer to one script that takes a record into the view come late: it
// has been run, and the owner does not know.
type lateAnswer struct {
	armed        atomic.Bool
	applied, let chan struct{}
}

func (h *lateAnswer) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h *lateAnswer) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (h *lateAnswer) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, commands []goredis.Cmder) error {
		err := next(ctx, commands)
		const other = 3 + 1 + 7 // EVALSHA, digest and number of keys; a key, and more arguments than any other script has
		if len(commands) == 1 && len(commands[0].Args()) > other && h.armed.CompareAndSwap(true, false) {
			close(h.applied)
			<-h.let
		}
		return err
	}
}

// heads gives the heads of the sender's conversation that the view tells of, and that
// whoever asks for what is above 10 messages hears of, or why not.
func (s *sender) heads(n *node) (view, recent uint64, err error) {
	s.t.Helper()
	page, err := n.inbox.View.Changed(s.t.Context(), logic.InboxQuery{User: s.from, Device: 9, Limit: 1, Room: 1 << 20})
	if must(s.t, err); len(page.States) != 1 {
		s.t.Fatalf("there is %+v", page.States)
	}
	r, err := n.owner.Recent(s.t.Context(), s.key(), 11, 100)
	return page.States[0].Head, r.Head, err
}

// TestAMessageThatIsNotShownYet: whoever was told of a message by the view, just before
// its owner shows it, hears that it is not to be had, and never that it does not exist.
func TestAMessageThatIsNotShownYet(t *testing.T) {
	l := newTalked(t)
	s := l.list[0]
	if view, recent, err := s.heads(l.node); err != nil || view != 10 || recent != 10 {
		t.Fatalf("with nothing on its way the heads are %d and %d, %v", view, recent, err)
	}
	late := &lateAnswer{applied: make(chan struct{}), let: make(chan struct{})}
	l.node.redis.AddHook(late)
	late.armed.Store(true)
	done := make(chan error, 1)
	go func() {
		_, err := s.try(l.node, uint64(len(s.seqs)+1))
		done <- err
	}()
	<-late.applied
	if view, recent, err := s.heads(l.node); view != 11 || !errors.Is(err, logic.ErrUnavailable) {
		t.Errorf("the view is at %d, and who asks hears of %d, %v", view, recent, err)
	}
	if r, err := l.node.owner.Recent(t.Context(), s.key(), 10, 100); err != nil || r.Head != 10 || len(r.Messages) != 1 {
		t.Errorf("of what is shown there is %+v, %v", r, err)
	}
	close(late.let)
	if err := <-done; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	eventually(t, "it is shown", func() bool {
		r, err := l.node.owner.Recent(t.Context(), s.key(), 11, 100)
		return err == nil && r.Head == 11 && len(r.Messages) == 1
	})
}

// TestAMessageThatAnotherNodeTook: a node that does not know yet that it has lost a queue
// does not say that what came since does not exist.
func TestAMessageThatAnotherNodeTook(t *testing.T) {
	l := newTalked(t)
	s := l.list[0]
	release := l.node.owner.Hold()
	defer release()
	must(t, l.node.place.Leave(t.Context()))
	other := l.start(2)
	other.waitOwned()
	if e := s.send(func() []*node { return []*node{other} }, uint64(len(s.seqs)+1)); e.Seq != 11 {
		t.Fatalf("the other node wrote %+v", e)
	}
	if view, recent, err := s.heads(l.node); view != 11 || !errors.Is(err, logic.ErrUnavailable) {
		t.Errorf("the view is at %d, and who asks hears of %d, %v", view, recent, err)
	}
	if view, recent, err := s.heads(other); err != nil || view != 11 || recent != 11 {
		t.Errorf("at the other node the heads are %d and %d, %v", view, recent, err)
	}
}
