package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"gannet/internal/chain"
	"gannet/internal/redis"
	"gannet/logic/ledger"
)

// loadScript is how many conversations one script reads, so that none holds Redis for
// long.
const loadScript = 128

// errMark says that a load found the view at a mark that it should not have.
var errMark = errors.New("view: the view of a queue is not at the mark that its owner knows")

// Load is Load of ledger.Source. Each conversation is as it was at one moment. A Damaged one has an
// Err and, if that much can be read, its Progress. While the view is incomplete, one that is not
// back has an Err. Load fails if the view is at another mark than the writer knows.
func (w *Writer) Load(ctx context.Context, conversations []*ledger.Loaded) error {
	var calls []redis.Call
	for part := range slices.Chunk(conversations, loadScript) {
		places := make([]byte, 0, placeSize*len(part))
		for _, c := range part {
			places = appendPlace(places, c.Key)
		}
		calls = append(calls, redis.Call{Script: load, Keys: []string{w.key}, Args: []any{places}})
	}
	w.mu.Lock()
	oldest := w.mark
	w.mu.Unlock()
	answers, err := run(ctx, w.view.client, calls...)
	if err != nil {
		return w.view.unavailable("conversations cannot be loaded", err)
	}
	w.mu.Lock()
	mark, newest := w.mark, w.next
	w.mu.Unlock()
	n := 0
	for _, a := range answers {
		has, err := readMark(a.text(1))
		if err == nil && !between(has, oldest, mark, newest) {
			err = fmt.Errorf("%w: %w: %v", ErrClosed, errMark, has)
		}
		if err != nil {
			return w.view.unavailable("conversations cannot be loaded", err)
		}
		incomplete := a.number(2) == 1
		for i := range min(loadScript, len(conversations)-n) {
			c := conversations[n]
			n++
			if _, err := readConversation(a.list(3+i), c, incomplete); err != nil {
				c.Err = w.view.unavailable("a conversation cannot be read", fmt.Errorf("%v of %v: %w", c.Key, w.queue, err))
			}
		}
	}
	return nil
}

// between says whether this writer may have brought the view to the mark has during a load: the
// writer was at oldest when the load began, and at mark, on its way to newest, when it ended.
func between(has, oldest, mark, newest chain.Mark) bool {
	for _, m := range [...]chain.Mark{oldest, mark, newest} {
		if has == m || m.Offset == has.Offset {
			return has == m
		}
	}
	return has.Offset > oldest.Offset && has.Offset < newest.Offset
}

// readConversation fills in what the fields of a hash say, and gives the preview. Fields
// that it does not know are of a later program, which adds them beside these.
func readConversation(fields answer, c *ledger.Loaded, incomplete bool) (last string, err error) {
	if len(fields) == 0 {
		if incomplete {
			return "", fmt.Errorf("%w: a conversation is not back", ErrClosed)
		}
		return "", nil
	}
	if len(fields)%2 != 0 {
		return "", fmt.Errorf("%w (it is no hash)", errDamaged)
	}
	value := func(name string) string {
		for i := 0; i+1 < len(fields); i += 2 {
			if fields.text(i) == name {
				return fields.text(i + 1)
			}
		}
		return ""
	}
	c.Progress, err = readProgress(value("p"))
	switch {
	case value("x") == "":
	case incomplete:
		return "", fmt.Errorf("%w: a conversation is not back", ErrClosed)
	default:
		return "", fmt.Errorf("%w (it was not brought back)", errDamaged)
	}
	if value("g") != "" {
		return "", ErrForsaken
	}
	if err != nil {
		return "", err
	}
	for i := 0; i+1 < len(fields); i += 2 {
		field := fields.text(i)
		switch {
		case len(field) == 1+8 && field[0] == 'm':
			m, err := readMember(field, fields.text(i+1), &c.Progress)
			if err != nil {
				return "", err
			}
			c.Members = append(c.Members, m)
		case len(field) == 1+8+8 && field[0] == 'd':
			d, err := readDevice(field, fields.text(i+1), &c.Progress)
			if err != nil {
				return "", err
			}
			c.Devices = append(c.Devices, d)
		}
	}
	slices.SortFunc(c.Members, func(x, y ledger.Member) int { return cmp.Compare(x.User, y.User) })
	slices.SortFunc(c.Devices, func(x, y ledger.Device) int {
		return cmp.Or(cmp.Compare(x.User, y.User), cmp.Compare(x.Device, y.Device))
	})
	return value("l"), nil
}
