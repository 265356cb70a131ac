package view

import (
	"context"
	"fmt"
	"strings"

	"gannet/internal/chain"
	"gannet/internal/redis"
)

// closing sets the mark of a view to a value that nobody can read. Then nobody writes the view, reads
// it or takes it for whole while it is removed. If the removal is interrupted, the state stays
// damaged, and `gannet mend` removes the rest.
var closing = redis.NewScript(common + bearing + `
wrong(redis.pcall('HSET', key, 'a', '\1', 'i', '1'))
return {1}
`)

// clearing removes the conversations in KEYS. A forsaken one keeps its note: without that, what is
// left of it elsewhere would be taken for all there was.
var clearing = redis.NewScript(`
local gone = 0
for _, of in ipairs(KEYS) do
  local forsaken = redis.pcall('HGET', of, 'g')
  redis.call('DEL', of)
  if type(forsaken) == 'string' then
    redis.call('HSET', of, 'g', forsaken)
  else
    gone = gone + 1
  end
end
return {1, gone}
`)

// clearAll removes all that the view of a queue has, except its state and the notes that
// conversations are forsaken. It gives how many keys it removed.
func (w *Writer) clearAll(ctx context.Context) (keys int, err error) {
	of := w.base()
	err = w.view.client.EachKey(ctx, of+"c", func(list []string) error {
		answers, err := run(ctx, w.view.client, redis.Call{Script: clearing, Keys: list})
		if err == nil {
			keys += int(answers[0].number(1))
		}
		return err
	})
	if err != nil {
		return keys, err
	}
	n, err := w.view.client.Remove(ctx, of+"u", "")
	return keys + n, err
}

// Empty removes the view of a queue if its mark lies before first, the offset of the first record
// that the queue still has. Nobody can bring such a view forward, so nobody writes it either; once
// it is empty its owner makes it anew. Empty gives how many keys it removed; 0 says that the view
// was empty already, or not behind.
func (w *Writer) Empty(ctx context.Context, first int64) (keys int, err error) {
	s, err := w.State(ctx)
	if err != nil || s.Mark == chain.Beginning || s.Mark.Offset >= first {
		return 0, err
	}
	if keys, err = w.clearAll(ctx); err != nil {
		return keys, w.view.unavailable("a view cannot be removed", err)
	}
	// The state goes last: until then the view is behind, whatever comes between.
	return keys + 1, w.view.client.Unlink(ctx, w.key).Err()
}

// Remove removes the view, whatever is in it. Its owner makes it anew from the history and the
// queue, and nobody reads it before that is done. The caller must make sure that the history has
// what the queue does not have any more. Remove gives how many keys it removed.
func (w *Writer) Remove(ctx context.Context) (keys int, err error) {
	if _, err := run(ctx, w.view.client, redis.Call{Script: closing, Keys: []string{w.key}}); err != nil {
		return 0, w.view.unavailable("a view cannot be removed", err)
	}
	if keys, err = w.clearAll(ctx); err != nil {
		return keys, w.view.unavailable("a view cannot be removed", err)
	}
	return keys + 1, w.view.client.Unlink(ctx, w.key).Err()
}

// refill says how to make the view of a queue anew, for errors about damage that nobody can repair.
func refill(key string) string {
	queue := key[:strings.LastIndexByte(key, '}')]
	queue = queue[strings.LastIndexByte(queue[:strings.LastIndexByte(queue, '.')], '.')+1:]
	return fmt.Sprintf("`gannet mend --refill %s` makes it anew", queue)
}
