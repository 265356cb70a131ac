package view

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gannet/internal/chain"
	"gannet/internal/redis"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// Writer brings the view of one queue forward. Its owner calls one method at a time, but
// for Load, which any number of goroutines may call. After an error nobody knows whether
// what was asked has happened, and asking the same again is safe.
type Writer struct {
	view  *View
	queue chain.Queue
	key   string
	bit   int64

	arguments arguments // of the record under way
	pack      pack      // of what is written anew
	created   []uint64  // users who get new conversations with either
	pending   redis.Call

	mu         sync.Mutex // guards what follows
	mark, next chain.Mark // the last one that is in the view, and the one that is on its way
	stamp      uint64
}

// Conflict says that the view is at another mark than its writer believes: an older one
// after Redis lost something, or one of a writer that took the queue over.
type Conflict struct {
	Queue        chain.Queue
	Has, Believe chain.Mark
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("view: Redis has %v at the mark %v, its writer believes %v", c.Queue, c.Has, c.Believe)
}

// State is what Redis says of a queue's view.
type State struct {
	Mark       chain.Mark // Beginning: nothing is in it
	Stamp      uint64     // the last one given
	Confirmed  bool       // under the run of Redis that answered and all present masters
	Incomplete bool

	// Suspect is the conversation that somebody could not read last, if the owner has not heeded it
	// yet (Heed).
	Suspect *protocol.Conversation
}

// ErrLarge says that a change is too large for one script.
var ErrLarge = errors.New("view: a change is too large for a script")

const (
	// maxChange bounds what one script takes, and so for how long it holds Redis. A record
	// of 128 KiB stays far below.
	maxChange = 8 << 20

	// maxFields bounds the fields of one conversation in a script: Lua hands no more over.
	maxFields = 3500

	// leap is by how much stamps leap when another Redis answers: its clock may be behind that of
	// the one before by no more.
	leap = 10 * time.Second
)

// Writer makes the writer of a queue. It believes nothing of the view yet: see Believe.
func (v *View) Writer(queue chain.Queue) (*Writer, error) {
	if !queue.Valid() {
		return nil, fmt.Errorf("view: %v cannot be", queue)
	}
	key := stateKey(v.options.Name, queue)
	return &Writer{
		view: v, queue: queue, key: key, bit: maskBit(queue), arguments: arguments{base: key[:len(key)-1]},
		mark: chain.Beginning, next: chain.Beginning,
	}, nil
}

// Believe tells what the owner knows: the mark that the view should be at, and the last
// stamp, or 0.
func (w *Writer) Believe(mark chain.Mark, stamp uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark, w.next, w.stamp = mark, mark, max(w.stamp, stamp)
	w.pending = redis.Call{}
}

// Mark is the mark of the last record that is in the view, as far as the writer knows.
func (w *Writer) Mark() chain.Mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mark
}

// Newest is the mark of the newest record that may be in the view: what was loaded before the
// call is not newer.
func (w *Writer) Newest() chain.Mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next.Offset > w.mark.Offset {
		return w.next
	}
	return w.mark
}

// Stamp is the last stamp that was given, as far as the writer knows. The next record of
// the ledger has at least one more.
func (w *Writer) Stamp() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stamp
}

// State asks Redis. The owner does so once a second, for nothing else tells it that Redis
// was restarted while the queue was idle.
func (w *Writer) State(ctx context.Context) (s State, err error) {
	runs, err := w.view.client.Runs(ctx)
	if err != nil {
		return s, w.view.unavailable("the masters of Redis cannot be asked", err)
	}
	a, err := w.call(ctx, redis.Call{Script: look, Args: []any{digest(runs)}})
	if err != nil {
		return s, err
	}
	if s.Mark, err = readMark(a.text(1)); err == nil {
		s.Stamp, err = readStamp(a.text(2))
	}
	s.Confirmed, s.Incomplete = a.number(3) == 1, a.number(4) == 1
	if place := a.text(5); place != "" {
		if c, wrong := readPlace(place); wrong == nil {
			s.Suspect = &c
		}
	}
	return s, w.view.unavailable("the state of a view", err)
}

// Heed says that the owner knows of a Suspect. Whoever still cannot read it tells of it again.
func (w *Writer) Heed(ctx context.Context, suspect protocol.Conversation) error {
	_, err := w.call(ctx, redis.Call{Script: heed, Args: []any{appendPlace(nil, suspect)}})
	return err
}

// Forward takes the record with the mark next into the view. change is what the record does, nil
// for a record without entries. The error is a *Conflict if the view is at another mark. After any
// other error, call Again before anything else.
func (w *Writer) Forward(ctx context.Context, next chain.Mark, change *ledger.Change) error {
	if change == nil {
		change = &ledger.Change{}
	}
	var err error
	if w.created, err = w.arguments.record(change, w.created[:0]); err != nil {
		return err
	}
	if size := w.arguments.size(); size > maxChange {
		w.view.troubles.large.Count()
		return fmt.Errorf("%w: %d bytes", ErrLarge, size)
	}
	w.mu.Lock()
	w.next = next
	w.pending = redis.Call{Script: forward, Args: w.arguments.all(appendMark(nil, w.mark), appendMark(nil, next), number(w.stamp))}
	w.mu.Unlock()
	return w.Again(ctx)
}

// Again tries the last Forward once more. It does nothing where that has succeeded.
func (w *Writer) Again(ctx context.Context) error {
	if w.pending.Script == nil {
		return nil
	}
	if err := setMasks(ctx, w.view.client, w.view.options.Name, w.bit, w.created); err != nil {
		return w.view.unavailable("masks cannot be set", err)
	}
	a, err := w.call(ctx, w.pending)
	if err != nil {
		return err
	}
	err = w.reached(a, w.next)
	if conflict := (*Conflict)(nil); err == nil || errors.As(err, &conflict) {
		w.pending = redis.Call{}
	}
	return err
}

// call runs a script for the queue.
func (w *Writer) call(ctx context.Context, c redis.Call) (answer, error) {
	c.Keys = []string{w.key}
	answers, err := run(ctx, w.view.client, c)
	if err != nil {
		return nil, w.view.unavailable("a script of a writer", err)
	}
	return answers[0], nil
}

// reached takes in the answer of a script that was to bring the view to mark.
func (w *Writer) reached(a answer, mark chain.Mark) error {
	has, err := readMark(a.text(1))
	if err != nil {
		return w.view.unavailable("the mark of a view", err)
	}
	stamp, err := readStamp(a.text(2))
	if err != nil {
		return w.view.unavailable("the stamp of a view", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stamp = max(w.stamp, stamp)
	if a.code() == answerOther {
		w.next = w.mark
		if w.view.troubles.conflicts.Note() {
			w.view.options.Log.Warn("view: Redis is at another mark", "queue", w.queue, "has", has, "believed", w.mark)
		}
		return &Conflict{Queue: w.queue, Has: has, Believe: w.mark}
	}
	w.mark, w.next = mark, mark
	return nil
}

// Confirm says that the view is true as it is under the Redis that runs now: readers may
// believe it, unless it is incomplete.
func (w *Writer) Confirm(ctx context.Context) error { return w.confirm(ctx, "") }

func (w *Writer) confirm(ctx context.Context, complete string) error {
	runs, err := w.view.client.Runs(ctx)
	if err != nil {
		return w.view.unavailable("the masters of Redis cannot be asked", err)
	}
	mark := w.Mark()
	a, err := w.call(ctx, redis.Call{Script: confirm, Args: []any{
		appendMark(nil, mark), number(w.Stamp()), digest(runs), leap.Microseconds(), complete,
	}})
	if err != nil {
		return err
	}
	return w.reached(a, mark)
}
