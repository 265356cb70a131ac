package view

import (
	"context"
	"slices"
	"strings"

	"gannet/internal/redis"
)

// masked is what a user's mask says.
type masked struct {
	queues []int  // in which the user may have anything, as in Options.Queues
	run    string // the Redis that gave it
	whole  bool   // else all queues are looked through
}

// mask reads the mask of a user.
func (v *View) mask(ctx context.Context, user uint64) (m masked, err error) {
	results, err := v.client.Run(ctx, redis.Call{Script: mask, Keys: []string{maskKey(v.options.Name, user)}})
	if err != nil {
		return m, err
	}
	l, _ := results[0].([]any)
	a := answer(l)
	bits := a.text(0)
	m.run = a.text(1)
	m.whole = len(m.run) >= maskHead && len(bits) >= maskHead && bits[:maskHead] == m.run[:maskHead]
	for i, q := range v.options.Queues {
		if !m.whole || hasBit(bits, maskBit(q)) {
			m.queues = append(m.queues, i)
		}
	}
	return m, nil
}

// complete makes a mask whole. found are the queues in which the user has something, after all
// queues were looked through; their owners had confirmed them under the masters with this digest.
// So what an owner wrote before was found. For what it writes later it sets bits in this mask,
// under the same run.
func (v *View) complete(ctx context.Context, user uint64, m masked, masters string, found []int) {
	runs, err := v.client.Runs(ctx)
	if err == nil && (digest(runs) != masters || !slices.Contains(runs, m.run)) {
		return // next time
	}
	if err == nil {
		args := []any{m.run, m.run[:maskHead]}
		for _, i := range found {
			args = append(args, maskBit(v.options.Queues[i]))
		}
		_, err = v.client.Run(ctx, redis.Call{Script: whole, Keys: []string{maskKey(v.options.Name, user)}, Args: args})
	}
	if err != nil && v.troubles.masks.Note() {
		v.options.Log.Warn("view: a mask cannot be written, all queues are asked instead", "err", err.Error())
	}
}

// setMasks sets the bit of a queue in the masks of users. A key of another type is replaced, like a
// mask that was lost.
func setMasks(ctx context.Context, client *redis.Client, name string, bit int64, users []uint64) error {
	if len(users) == 0 {
		return nil
	}
	ctx, cancel := client.Within(ctx)
	defer cancel()
	pipe := client.Pipeline()
	for _, u := range users {
		pipe.SetBit(ctx, maskKey(name, u), bit, 1)
	}
	results, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	again := client.Pipeline()
	for i, r := range results {
		switch {
		case r.Err() == nil:
		case !strings.HasPrefix(r.Err().Error(), "WRONGTYPE"):
			return err
		default:
			again.Del(ctx, maskKey(name, users[i]))
			again.SetBit(ctx, maskKey(name, users[i]), bit, 1)
		}
	}
	_, err = again.Exec(ctx)
	return err
}
