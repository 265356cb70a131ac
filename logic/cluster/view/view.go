package view

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gannet/internal/chain"
	"gannet/internal/operate"
	"gannet/internal/redis"
	"gannet/logic"
)

// Options says how a View works.
type Options struct {
	Name   string        // of the cluster: all keys begin with it
	Queues []chain.Queue // all of them, of every class
	Counts Counts

	// Patience is for how long a list waits for Counts.CountsAt; 0 means countPatience.
	Patience time.Duration

	Log *slog.Logger // nil: slog.Default
}

// View reads the conversations of users. It is logic.Inbox.
type View struct {
	client   *redis.Client
	options  Options
	keys     []string // of the states, as Options.Queues
	troubles troubles

	mu    sync.Mutex // guards what follows; one asks for all who wait
	nexts []uint64   // of each queue, 0: not known yet
	next  uint64     // the lowest of them
	asked time.Duration
	deaf  bool // not all of them answered then

	unasked atomic.Int64 // operate.Elapsed until which the history is not asked for counts
}

// troubles are what does not go as it should, each counted and seldom logged.
type troubles struct {
	damaged, closed, away, counts, masks, conflicts, large, panics operate.Trouble
}

// ErrClosed says that a queue's view cannot be believed just now: Redis was restarted or
// emptied, and the owner of the queue has not confirmed it or brought everything back.
var ErrClosed = errors.New("view: the view of a queue is not confirmed")

// New makes a View. The keys are those of Writers with the same name.
func New(client *redis.Client, o Options) (*View, error) {
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	if len(o.Queues) == 0 || o.Counts == nil {
		return nil, errors.New("view: there must be queues, and somebody who counts")
	}
	v := &View{client: client, options: o, nexts: make([]uint64, len(o.Queues))}
	if v.options.Log == nil {
		v.options.Log = slog.Default()
	}
	for i, q := range o.Queues {
		if !q.Valid() || slices.Contains(o.Queues[:i], q) {
			return nil, fmt.Errorf("view: %v cannot be", q)
		}
		v.keys = append(v.keys, stateKey(o.Name, q))
	}
	return v, nil
}

// Vars are counters for the debug address.
func (v *View) Vars() map[string]uint64 {
	t := &v.troubles
	return map[string]uint64{
		"scripts":      scripts.Load(),
		"damaged.view": t.damaged.Times(), "refused.view_closed": t.closed.Times(), "failed.redis": t.away.Times(),
		"failed.counts": t.counts.Times(), "failed.masks": t.masks.Times(), "failed.view_conflict": t.conflicts.Times(),
		"refused.view_large": t.large.Times(), "panics": t.panics.Times(),
	}
}

// unavailable makes an error that its caller takes for logic.ErrUnavailable, and counts
// its reason.
func (v *View) unavailable(what string, err error) error {
	if err == nil || errors.Is(err, logic.ErrUnavailable) {
		return err
	}
	trouble := &v.troubles.away
	switch {
	case errors.Is(err, errDamaged) || errors.Is(err, errLater):
		trouble = &v.troubles.damaged
	case errors.Is(err, ErrClosed):
		trouble = &v.troubles.closed
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", logic.ErrUnavailable, err)
	}
	if trouble.Note() {
		v.options.Log.Warn("view: "+what, "err", err.Error())
	}
	return fmt.Errorf("%w: %w", logic.ErrUnavailable, err)
}

// digest stands for a set of run ids.
func digest(runs []string) string {
	h := sha256.New()
	for _, r := range runs {
		h.Write([]byte(r))
		h.Write([]byte{0})
	}
	return string(h.Sum(nil)[:8])
}

// answer is what a script gave. Its methods give -1, "" or nil for an element that is not of the
// type asked for.
type answer []any

// code is the first element, which says how a script ended. No script of ours ends without one.
func (a answer) code() int64 { return a.number(0) }

func (a answer) number(i int) int64 {
	if i < len(a) {
		if n, ok := a[i].(int64); ok {
			return n
		}
	}
	return -1
}

func (a answer) text(i int) string {
	if i < len(a) {
		if s, ok := a[i].(string); ok {
			return s
		}
	}
	return ""
}

func (a answer) list(i int) answer {
	if i < len(a) {
		if l, ok := a[i].([]any); ok {
			return l
		}
	}
	return nil
}

// scripts counts the scripts that this process had Redis run for views, by writers and readers
// together.
var scripts atomic.Uint64

// run runs scripts and gives what each answered. Damage, and a view that is closed, are errors.
func run(ctx context.Context, client *redis.Client, calls ...redis.Call) ([]answer, error) {
	scripts.Add(uint64(len(calls)))
	results, err := client.Run(ctx, calls...)
	if err != nil && strings.Contains(err.Error(), "WRONGTYPE") { // the key of a state
		err = fmt.Errorf("%w: `gannet mend` makes it anew: %w", errDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	answers := make([]answer, len(results))
	for i, r := range results {
		l, _ := r.([]any)
		answers[i] = l
		switch answers[i].code() {
		case answerOther, answerDone, answerAlready:
		case answerClosed:
			return nil, fmt.Errorf("%w: %s", ErrClosed, calls[i].Keys[0])
		default:
			return nil, fmt.Errorf("%w: %s: %s", errDamaged, calls[i].Keys[0], refill(calls[i].Keys[0]))
		}
	}
	return answers, nil
}

func number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// readStamp reads what a script says of stamps; "" is 0.
func readStamp(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	if len(s) != stampSize || u64(s, 0) >= maxNumber {
		return 0, fmt.Errorf("%w (a stamp)", errDamaged)
	}
	return u64(s, 0), nil
}
