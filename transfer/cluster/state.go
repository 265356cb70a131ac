package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/chain"
	"gannet/internal/redis"
)

// state reads and writes what transfer needs of queues in Redis.
type state struct {
	client *redis.Client
	name   string
}

func (s *state) key(queue chain.Queue, of string) string {
	return fmt.Sprintf("{%s.%v.%d}%s", s.name, queue.Class, queue.Number, of)
}

// ErrDamaged says that a mark is invalid, or of a later version. Forget removes it.
var ErrDamaged = errors.New("transfer: a mark in Redis cannot be read; if no later version of gannet wrote it, run gannet mend, which forgets it: everybody is hinted to sync, and the queue goes on from its view")

const (
	markVersion = 1
	markSize    = 1 + 8 + 8 + 8
)

func appendMark(dst []byte, m chain.Mark) []byte {
	dst = append(dst, markVersion)
	for _, n := range [...]uint64{uint64(m.Offset), m.Writer, m.Number} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

// readMark reads a mark; "" is the beginning. It ignores what follows the mark, such as the epochs
// of owed.go.
func readMark(value string) (m chain.Mark, err error) {
	if value == "" {
		return chain.Beginning, nil
	}
	if len(value) < markSize || value[0] != markVersion {
		return m, fmt.Errorf("%w: %.32x", ErrDamaged, value)
	}
	b := []byte(value[1:markSize])
	m = chain.Mark{Offset: int64(binary.BigEndian.Uint64(b)), Writer: binary.BigEndian.Uint64(b[8:]), Number: binary.BigEndian.Uint64(b[16:])}
	if m.Offset < 0 && m != chain.Beginning {
		return m, fmt.Errorf("%w: %.32x", ErrDamaged, value)
	}
	return m, nil
}

// own gives transfer's mark; found is false where there is none.
func (s *state) own(ctx context.Context, queue chain.Queue) (m chain.Mark, found bool, err error) {
	ctx, cancel := s.client.Within(ctx)
	defer cancel()
	value, err := s.client.Get(ctx, s.key(queue, "t")).Result()
	if errors.Is(err, goredis.Nil) {
		return chain.Beginning, false, nil
	}
	if err == nil {
		m, err = readMark(value)
	}
	return m, err == nil, err
}

// Mark gives how far transfer has come with a queue, as Redis has it.
func Mark(ctx context.Context, client *redis.Client, name string, queue chain.Queue) (chain.Mark, error) {
	m, _, err := (&state{client: client, name: name}).own(ctx, queue)
	return m, err
}

// viewed gives the mark of the view, whether it is confirmed or not.
func (s *state) viewed(ctx context.Context, queue chain.Queue) (chain.Mark, error) {
	ctx, cancel := s.client.Within(ctx)
	defer cancel()
	value, err := s.client.HGet(ctx, s.key(queue, "v"), "a").Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return chain.Beginning, err
	}
	return readMark(value)
}

// confirmed gives the mark of a view, and whether the queue's owner has confirmed the view under
// the current run of Redis.
var confirmed = redis.NewScript(`
local v = redis.call('HMGET', KEYS[1], 'a', 'r')
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
return {v[1] or '', v[2] == run and 1 or 0}
`)

func (s *state) confirmed(ctx context.Context, queue chain.Queue) (m chain.Mark, ok bool, err error) {
	results, err := s.client.Run(ctx, redis.Call{Script: confirmed, Keys: []string{s.key(queue, "v")}})
	if err != nil {
		return chain.Beginning, false, err
	}
	answer, _ := results[0].([]any)
	if len(answer) != 2 {
		return chain.Beginning, false, ErrDamaged
	}
	value, _ := answer[0].(string)
	m, err = readMark(value)
	return m, err == nil && answer[1] == int64(1), err
}

// advance sets transfer's mark to ARGV[1], unless Redis has a later mark. A later mark comes from a
// node that has taken the queue over.
var advance = redis.NewScript(`
local has = redis.call('GET', KEYS[1])
if has and #has >= 25 and string.byte(has) == 1 and struct.unpack('>i8', has, 2) > struct.unpack('>i8', ARGV[1], 2) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
`)

func (s *state) save(ctx context.Context, queue chain.Queue, m chain.Mark, owed []uint64) error {
	_, err := s.client.Run(ctx, redis.Call{Script: advance, Keys: []string{s.key(queue, "t")}, Args: []any{appendOwed(appendMark(nil, m), owed)}})
	return err
}

func (s *state) forget(ctx context.Context, queue chain.Queue) error {
	ctx, cancel := s.client.Within(ctx)
	defer cancel()
	return s.client.Del(ctx, s.key(queue, "t")).Err()
}

func (s *state) begin(ctx context.Context, queue chain.Queue) error {
	ctx, cancel := s.client.Within(ctx)
	defer cancel()
	return s.client.SetNX(ctx, s.key(queue, "t"), appendMark(nil, chain.Beginning), 0).Err()
}
