package logic_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/logic"
)

// Neighbours that answer as a test says.

// logFunc is a Log.
type logFunc func(batches []*logic.Batch) error

func (f logFunc) Apply(_ context.Context, batches []*logic.Batch) error { return f(batches) }

// appliedLog says yes to everything at no cost.
var appliedLog = logFunc(func(batches []*logic.Batch) error {
	for _, b := range batches {
		for i := range b.Entries {
			b.Entries[i].Outcome = logic.Applied
			b.Entries[i].Seq = uint64(i + 1)
		}
	}
	return nil
})

// historyFunc is a History.
type historyFunc func(p *logic.Page) error

func (f historyFunc) Pages(_ context.Context, pages []*logic.Page) error {
	for _, p := range pages {
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}

// inboxFunc is an Inbox.
type inboxFunc func(q logic.InboxQuery) (logic.InboxPage, error)

func (f inboxFunc) Changed(_ context.Context, q logic.InboxQuery) (logic.InboxPage, error) {
	return f(q)
}

// socialFunc is a Social.
type socialFunc func(asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error)

func (f socialFunc) Rights(_ context.Context, asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) {
	return f(asks, dst)
}

// all lets everybody do everything.
var all = socialFunc(func(asks []logic.Ask, dst []logic.Rights) ([]logic.Rights, error) {
	for range asks {
		dst = append(dst, logic.MaySee|logic.MayWrite)
	}
	return dst, nil
})

// silent is a Receipts that takes everything.
type silent struct{}

func (silent) Receipts(context.Context, *hop.Record) error { return nil }

// directoryFuncs is a Directory; what is nil is done by Memory.
type directoryFuncs struct {
	*directory.Memory
	draw   func(ctx context.Context, dst []uint64) ([]uint64, error)
	bind   func(ctx context.Context, dst []directory.Bound) ([]directory.Bound, error)
	unbind func() error
}

func (d *directoryFuncs) Draw(ctx context.Context, users, dst []uint64) ([]uint64, error) {
	if d.draw != nil {
		return d.draw(ctx, dst)
	}
	return d.Memory.Draw(ctx, users, dst)
}

func (d *directoryFuncs) Bind(ctx context.Context, binds []directory.Bind, dst []directory.Bound) ([]directory.Bound, error) {
	if d.bind != nil {
		return d.bind(ctx, dst)
	}
	return d.Memory.Bind(ctx, binds, dst)
}

func (d *directoryFuncs) Unbind(ctx context.Context, binds []directory.Bind) error {
	if d.unbind != nil {
		return d.unbind()
	}
	return d.Memory.Unbind(ctx, binds)
}

// tokensFunc is a Tokens.
type tokensFunc func() (uint64, error)

func (f tokensFunc) Verify([]byte) (uint64, time.Time, error) {
	user, err := f()
	return user, time.Time{}, err
}

// until is a Tokens for user 42 whose tokens end at this time.
type until struct{ time.Time }

func (u until) Verify([]byte) (uint64, time.Time, error) { return 42, u.Time, nil }

// lines counts log lines.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), "\n")
}
