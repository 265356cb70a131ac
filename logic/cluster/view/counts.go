package view

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"gannet/internal/operate"
	"gannet/internal/redis"
	"gannet/protocol"
)

// Counts knows how many messages of a conversation count.
type Counts interface {
	// Remembered fills in each count that this node knows by heart, and gives the others an
	// Err. It waits for nobody.
	Remembered(counts []*Count)

	// CountsAt fills in each count, or its Err. It asks whoever may know, so it may take long. An
	// error means that no count was found out.
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

// exact says that the count is known for certain.
func (c *Count) exact() bool { return c.Err == nil && !c.Bounds }

const (
	// countPatience is for how long a list waits for the history, well within a call. Counts
	// that come later are kept all the same, for the next list.
	countPatience = 400 * time.Millisecond

	// countPause is for how long the history is not asked after it did not answer in time.
	// Otherwise every list would wait for countPatience while the history is slow. Counts in memory
	// or in Redis do not need the history.
	countPause = time.Second
)

// count works out how many messages of others the user has not read. If the counts up to a cursor
// are not kept in Redis, it asks this node's memory and then the history. If these do not tell in
// time, or not for certain, it gives the most that can be unread, because a list that waits for the
// history may wait for ever.
//
// Such a bound ends with its cause, and nobody needs to remember who was told one. As long as Redis
// does not keep the counts up to a user's cursor, the conversation is in each of the user's lists,
// whatever their since (slice), so each list asks again. When the counts are kept, the conversation
// changes (keep), so devices that were told a bound get the number even if another device asked for
// it. A since that does not pass such a conversation would do the same at a higher price: one since
// is for all conversations, so each list would have all that changed behind it, which is nearly all
// conversations while messages are missing for good.
func (v *View) count(ctx context.Context, user uint64, list []*found) {
	var open []*found
	var counts []*Count
	for _, f := range list {
		if f.own.Read > 0 && !f.own.Counted {
			open = append(open, f)
			counts = append(counts, &Count{Conversation: f.loaded.Key, User: user, Seq: f.own.Read})
			continue
		}
		f.state.Unread = f.unread(f.own.Count, f.own.Own)
	}
	if len(open) == 0 {
		return
	}
	v.options.Counts.Remembered(counts)
	judge(open, counts)
	v.keep(ctx, open, counts)
	v.ask(ctx, open, counts)
	for i, f := range open {
		c := counts[i]
		if f.state.Unread = f.most(); c.exact() {
			f.state.Unread = f.unread(c.Count, c.Own)
			continue
		}
		if n, total := f.loaded.Count, f.own.Total; c.Err == nil && c.Count <= n {
			f.state.Unread = min(f.state.Unread, n-c.Count-min(total-min(c.Own, total), n-c.Count))
		}
		if c.Err != nil && v.troubles.counts.Note() {
			v.options.Log.Warn("view: what is unread is not known, at most is said", "conversation", c.Conversation, "err", c.Err.Error())
		}
	}
}

// judge gives an Err to counts that are impossible.
func judge(list []*found, counts []*Count) {
	for i, c := range counts {
		if c.exact() && !list[i].fit(c.Count, c.Own) {
			c.Err = fmt.Errorf("%w (counts)", errDamaged)
		}
	}
}

// unread gives how many messages are unread if count messages up to the read cursor count, and the
// user sent own of them.
func (f *found) unread(count, own uint64) uint64 {
	return (f.loaded.Count - count) - (f.own.Total - own)
}

// fit says whether counts up to the read cursor are possible.
func (f *found) fit(count, own uint64) bool {
	n, total := f.loaded.Count, f.own.Total
	return own <= count && count <= n && own <= total && n-count >= total-own
}

// most gives how many messages can be unread at most: not more than lie behind the cursor, and not
// more than others sent.
func (f *found) most() uint64 {
	return min(f.loaded.Head-f.own.Read, f.loaded.Count-f.own.Total)
}

// ask has the history find out the counts that have an Err, and waits for Options.Patience at most.
// Counts that come later are kept for the next list. They are written into copies, because the list
// is answered without them meanwhile.
func (v *View) ask(ctx context.Context, list []*found, counts []*Count) {
	var of []*found
	var open, asked []*Count
	for i, c := range counts {
		if c.Err != nil {
			of, open = append(of, list[i]), append(open, c)
			asked = append(asked, &Count{Conversation: c.Conversation, User: c.User, Seq: c.Seq})
		}
	}
	if len(open) == 0 {
		return
	}
	err := errLate
	if operate.Elapsed() >= time.Duration(v.unasked.Load()) {
		ctx = context.WithoutCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- v.find(ctx, of, asked) }()
		timer := time.NewTimer(cmp.Or(v.options.Patience, countPatience))
		defer timer.Stop()
		select {
		case err = <-done:
		case <-timer.C:
			v.unasked.Store(int64(operate.Elapsed() + countPause))
		}
	}
	for i, c := range open {
		if err != nil {
			c.Err = err
		} else {
			*c = *asked[i]
		}
	}
}

// find asks the history, and keeps what it says.
func (v *View) find(ctx context.Context, list []*found, counts []*Count) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("a bug: %v", cause)
			if v.troubles.panics.Note() {
				v.options.Log.Error("view: a panic was survived: this is a bug of gannet", "while", "counts were asked for",
					"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
			}
		}
	}()
	if err := v.options.Counts.CountsAt(ctx, counts); err != nil {
		return err
	}
	judge(list, counts)
	v.keep(ctx, list, counts)
	return nil
}

// errLate says that counts do not come in time.
var errLate = errors.New("view: nobody counts messages in time")

// keep has Redis keep counts that are known for certain, so that nobody has to ask again. The
// counts up to a seq never change, so any node may do this; neither the owner of the queue nor its
// records are needed. After an error the next list tries again.
func (v *View) keep(ctx context.Context, list []*found, counts []*Count) {
	kept := make(map[int][]byte) // by queue
	for i, c := range counts {
		if q := list[i].queue; c.exact() {
			kept[q] = appendCounts(binary.BigEndian.AppendUint64(appendPlace(kept[q], c.Conversation), c.User), c.Seq, c.Count, c.Own)
		}
	}
	var calls []redis.Call
	for q, b := range kept {
		calls = append(calls, redis.Call{Script: keepCounts, Keys: []string{v.keys[q]}, Args: []any{b}})
	}
	if len(calls) > 0 {
		_, err := run(ctx, v.client, calls...)
		_ = v.unavailable("counts cannot be kept", err)
	}
}

// remembered fills in the counts of the user's cursor that Redis keeps in n. Impossible ones are
// ignored; they are asked for anew, and overwritten.
func (f *found) remembered() {
	field := "n" + number(f.own.User)
	for i := 0; i+1 < len(f.fields); i += 2 {
		if f.fields.text(i) != field {
			continue
		}
		read, count, own, err := readCounts(f.fields.text(i + 1))
		if err == nil && read == f.own.Read && f.fit(count, own) {
			f.own.Counted, f.own.Count, f.own.Own = true, count, own
		}
	}
}
