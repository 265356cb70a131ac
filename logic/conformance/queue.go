package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"gannet/logic"
)

var queueStories = []run{
	{"several queues in one call", severalQueues},
	{"a queue that is not there fails alone", noSuchQueue},
	{"nothing to do", nothingToDo},
	{"all that waits goes into one record, in the order of the calls", waitersShareRecord},
	{"a call that is cancelled while it waits", cancelledWaiter},
	{"a call that ends as its turn comes fails no other", lateWaiter},
	{"a queue that stands still holds no other", queuesApart},
}

// watched is a context that says when somebody begins to wait for its end: a call
// that waits for its queue does.
type watched struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func newWatched(ctx context.Context) *watched {
	return &watched{Context: ctx, waiting: make(chan struct{})}
}

func (c *watched) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waiting) })
	return c.Context.Done()
}

// outcome checks the outcome of every entry.
func (w *world) outcome(b *batch, want logic.Outcome) {
	w.t.Helper()
	for i, e := range b.Entries {
		if e.Outcome != want {
			w.t.Fatalf("entry %d has outcome %d, want %d", i, e.Outcome, want)
		}
	}
}

func severalQueues(w *world) {
	for id := uint64(1); id <= 3; id++ {
		var own []*batch
		var batches []*logic.Batch
		for queue, peer := range w.queuePeers() {
			b := new(batch).send(1, 1, peer, id, "hello").ack(peer, 1, 1, 2*id-1).send(peer, 1, 1, id, "hello")
			b.Queue = queue
			own, batches = append(own, b), append(batches, &b.Batch)
		}
		if err := w.Log.Apply(w.t.Context(), batches); err != nil {
			w.t.Fatal(err)
		}
		for queue, b := range own {
			if b.Err != nil {
				w.t.Fatalf("queue %d: %v", queue, b.Err)
			}
			w.outcome(b, logic.Applied)
			w.wantNew(b.Entries[0], 2*id-1)
			w.wantNew(b.Entries[2], 2*id)
			if got := len(w.published(queue)); got != int(id) {
				w.t.Fatalf("queue %d published %d records, want %d", queue, got, id)
			}
		}
	}
}

func noSuchQueue(w *world) {
	for _, wrong := range []int{-1, w.Queues, 1 << 20} {
		good := new(batch).send(1, 1, 2, 1, "hello")
		good.Queue = w.queue(direct(1, 2))
		bad := new(batch).send(1, 1, 3, 1, "hello").read(3, 1, 1, 1)
		bad.Queue = wrong
		bad.Entries[0].Outcome, bad.Entries[1].Outcome = logic.Applied, logic.Repeated // of an earlier use
		if err := w.Log.Apply(w.t.Context(), []*logic.Batch{&bad.Batch, &good.Batch}); err != nil {
			w.t.Fatalf("the call failed as a whole: %v", err)
		}
		if bad.Err == nil || good.Err != nil {
			w.t.Fatalf("queue %d: %v, the other: %v; want that the first alone has an error", wrong, bad.Err, good.Err)
		}
		w.outcome(bad, logic.Unknown)
		if good.Entries[0].Seq != 1 {
			w.t.Fatalf("the other queue: %+v", good.Entries[0])
		}
	}
	w.wantHead(direct(1, 2), 1)
	w.wantHead(direct(1, 3), 0)
}

func nothingToDo(w *world) {
	if err := w.Log.Apply(w.t.Context(), nil); err != nil {
		w.t.Fatal(err)
	}
	for queue := range w.Queues {
		b := logic.Batch{Queue: queue}
		if err := w.Log.Apply(w.t.Context(), []*logic.Batch{&b}); err != nil || b.Err != nil {
			w.t.Fatalf("an empty batch: %v, %v", err, b.Err)
		}
		if got := len(w.published(queue)); got != 0 {
			w.t.Fatalf("an empty batch became %d records", got)
		}
	}
}

// held is a record that stands still, with calls that wait behind it.
type held struct {
	w       *world
	release func()
	calls   sync.WaitGroup
}

// hold applies a batch whose record stands still.
func (w *world) hold(queue int, first *batch) *held {
	w.t.Helper()
	standing, release := w.Hold(queue)
	h := &held{w: w, release: sync.OnceFunc(release)}
	w.t.Cleanup(h.release) // also after a failure
	h.calls.Go(func() { h.apply(w.t.Context(), first) })
	w.within("the record stands", standing)
	return h
}

func (h *held) apply(ctx context.Context, b *batch) {
	if err := h.w.try(ctx, b); err != nil {
		h.w.t.Errorf("Apply: %v", err)
	}
}

// wait starts a call and returns once it waits for the queue.
func (h *held) wait(b *batch) {
	h.w.t.Helper()
	ctx := newWatched(h.w.t.Context())
	h.calls.Go(func() { h.apply(ctx, b) })
	h.w.within("the call waits", ctx.waiting)
}

// end lets the record go and waits for all calls.
func (h *held) end() {
	h.release()
	h.calls.Wait()
}

func waitersShareRecord(w *world) {
	peers := neighbours(3)
	queue := w.queue(direct(1, peers[0]))
	h := w.hold(queue, new(batch).send(1, 1, peers[0], 1, "first"))
	var waiting []*batch
	for i := range uint64(10) {
		b := new(batch).
			send(1, 10+i, peers[i%3], 1, fmt.Sprintf("%d", i)).
			send(1, 10+i, peers[(i+1)%3], 1, fmt.Sprintf("%d again", i)).
			read(1, 1, peers[i%3], 1)
		waiting = append(waiting, b)
		h.wait(b)
	}
	h.end()
	records := w.published(queue)
	if len(records) != 2 {
		w.t.Fatalf("%d records, want that of the first call and one for all who waited", len(records))
	}
	next := map[uint64]uint64{peers[0]: 2, peers[1]: 1, peers[2]: 1}
	at := 0
	for i, b := range waiting {
		for _, e := range b.Entries[:2] {
			peer := e.Conversation.B
			w.wantNew(e, next[peer])
			next[peer]++
			for records[1].Entries[at].Frame.Len() == 0 {
				at++ // a cursor
			}
			if got := records[1].Entries[at]; got.Conversation != e.Conversation || got.Seq != e.Seq || got.Device != uint64(10+i) {
				w.t.Fatalf("entry %d of the record is %+v, want seq %d of call %d", at, got, e.Seq, i)
			}
			at++
		}
	}
}

func cancelledWaiter(w *world) {
	peers := neighbours(2)
	queue := w.queue(direct(1, peers[0]))
	h := w.hold(queue, new(batch).send(1, 1, peers[0], 1, "first"))
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	gone := new(batch).send(1, 1, peers[0], 2, "second")
	gone.Entries[0].Outcome = logic.Applied // of an earlier use
	watched, ended := newWatched(ctx), make(chan error, 1)
	go func() { ended <- w.try(watched, gone) }()
	w.within("the call waits", watched.waiting)
	behind := new(batch).send(1, 1, peers[1], 1, "third")
	h.wait(behind)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		w.t.Fatalf("the cancelled call gave %v", err)
	}
	w.outcome(gone, logic.Unknown)
	h.end()
	w.wantNew(behind.Entries[0], 1)
	w.wantHead(direct(1, peers[0]), 1)
	w.wantNew(w.send(1, 1, peers[0], 2), 2)
}

// late is a context that has ended just after its call got its turn.
type late struct{ *watched }

func (late) Err() error { return context.Canceled }

func lateWaiter(w *world) {
	peers := neighbours(3)
	queue := w.queue(direct(1, peers[0]))
	h := w.hold(queue, new(batch).send(1, 1, peers[0], 1, "first"))
	ctx := late{newWatched(w.t.Context())}
	gone := new(batch).send(1, 1, peers[1], 1, "second")
	h.calls.Go(func() { _ = w.try(ctx, gone) }) // what it gives is open
	w.within("the call waits", ctx.waiting)
	behind := new(batch).send(1, 1, peers[2], 1, "third")
	h.wait(behind)
	h.end()
	w.wantNew(behind.Entries[0], 1)
	if again := w.send(1, 1, peers[1], 1); again.Seq != 1 || gone.Entries[0].Outcome == logic.Applied && again.Outcome != logic.Repeated {
		w.t.Fatalf("the call came to %+v, the next one to %+v", gone.Entries[0], again)
	}
}

func queuesApart(w *world) {
	peers := w.queuePeers()
	h := w.hold(0, new(batch).send(1, 1, peers[0], 1, "first"))
	for queue, peer := range peers[1:] {
		if e := w.send(1, 1, peer, 1); e.Seq != 1 {
			w.t.Fatalf("queue %d: %+v", queue+1, e)
		}
	}
	waiting := new(batch).send(1, 1, peers[0], 2, "second")
	h.wait(waiting)
	h.end()
	w.wantNew(waiting.Entries[0], 2)
}
