package view

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gannet/internal/operate"
	"gannet/protocol"
)

// Counts knows how many messages of a conversation count.
type Counts interface {
	// CountsAt fills in each count, or its Err. An error means that none was found out.
	CountsAt(ctx context.Context, counts []*Count) error
}

// Count asks how many messages up to Seq count as unread, and how many of them User sent.
type Count struct {
	Conversation protocol.Conversation
	User, Seq    uint64

	Count, Own uint64
	Bounds     bool // messages are missing: at least Count of them count, and User sent at most Own
	Err        error
}

const (
	// countPatience is for how long a list waits for counts, well within a call. Those that
	// come later are learnt all the same, for the next list.
	countPatience = 400 * time.Millisecond

	// countPause is for how long nobody is asked after counts did not come in time.
	countPause = time.Second
)

// count works out what the user has not read of what others sent. It asks for counts that
// nobody has worked out yet; where they are not to be had, what is said is the most that it
// can be: whoever waits for the history to have a list may wait for ever.
func (v *View) count(ctx context.Context, user uint64, list []*found, told map[int]bool) {
	var open []*found
	var counts []*Count
	for _, f := range list {
		if f.own.Read > 0 && !f.own.Counted {
			open = append(open, f)
			counts = append(counts, &Count{Conversation: f.loaded.Key, User: user, Seq: f.own.Read})
		} else if err := f.unread(f.own.Count, f.own.Own); err != nil {
			v.damaged(ctx, user, f, told, "what is unread cannot be counted", err)
		}
	}
	if len(open) == 0 {
		return
	}
	if err := v.ask(ctx, open, counts); err != nil {
		for _, f := range open {
			f.state.Unread = f.most()
			v.uncounted(f, err)
		}
		return
	}
	for i, f := range open {
		c := counts[i]
		switch {
		case c.Err != nil:
			f.state.Unread = f.most()
			v.uncounted(f, c.Err)
		case c.Bounds:
			f.state.Unread = f.most()
			if n, total := f.loaded.Count, f.own.Total; c.Count <= n {
				f.state.Unread = min(f.state.Unread, n-c.Count-min(total-min(c.Own, total), n-c.Count))
			}
		default:
			if err := f.unread(c.Count, c.Own); err != nil {
				v.uncounted(f, err)
			}
		}
	}
}

// uncounted counts and says that what is unread of a conversation is not known.
func (v *View) uncounted(f *found, err error) {
	if v.troubles.counts.Note() {
		v.options.Log.Warn("view: what is unread is not known, at most is said", "conversation", f.loaded.Key, "err", err.Error())
	}
}

// unread works out what is unread where count messages up to the read cursor count, and own of
// them are the user's.
func (f *found) unread(count, own uint64) error {
	if f.own.Read == 0 {
		count, own = 0, 0
	}
	if !f.fit(count, own) {
		f.state.Unread = f.most()
		return fmt.Errorf("%w (counts)", errDamaged)
	}
	f.state.Unread = (f.loaded.Count - count) - (f.own.Total - own)
	return nil
}

// fit says whether counts up to the read cursor can be.
func (f *found) fit(count, own uint64) bool {
	n, total := f.loaded.Count, f.own.Total
	return own <= count && count <= n && own <= total && n-count >= total-own
}

// most is how many can be unread at most: what lies behind the cursor, and what others sent.
func (f *found) most() uint64 {
	return min(f.loaded.Head-f.own.Read, f.loaded.Count-f.own.Total)
}

// ask asks for counts, and for no longer than countPatience. After an error they may still be
// written.
func (v *View) ask(ctx context.Context, list []*found, counts []*Count) error {
	if operate.Elapsed() < time.Duration(v.unasked.Load()) {
		return errLate
	}
	ctx = context.WithoutCancel(ctx)
	done := make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				done <- fmt.Errorf("a bug: %v", cause)
			}
		}()
		err := v.options.Counts.CountsAt(ctx, counts)
		for i, c := range counts {
			if err == nil && c.Err == nil && !c.Bounds && list[i].fit(c.Count, c.Own) && v.options.Learn != nil {
				v.options.Learn(c.Conversation, c.User, c.Seq, c.Count, c.Own)
			}
		}
		done <- err
	}()
	timer := time.NewTimer(countPatience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		v.unasked.Store(int64(operate.Elapsed() + countPause))
		return errLate
	}
}

// errLate says that counts do not come in time.
var errLate = errors.New("view: nobody counts messages in time")
