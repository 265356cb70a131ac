// Package parked keeps the records of queues that could not be handled: in Redis, under
// the tag of their queue, where they can be seen and handled once more. A queue holds no
// more than Most of them.
//
// Each is a field of the hash {P.C.Q}k: its mark (offset, writer, number, u64 each), and
//
//	version u8, time u64, parked u64, tries u32, length of the reason u16, the reason, the body
//
// where times are Unix milliseconds and the body is the record's entries as the queue has
// them. Integers are big-endian.
package parked

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gannet/internal/chain"
	"gannet/internal/hop"
	"gannet/internal/redis"
)

// Most is how many records of one queue are kept. That is enough to see what is wrong. If all
// records have the maximum size, they take 8 MiB.
const Most = 64

const (
	version    = 1
	fieldSize  = 24
	headSize   = 1 + 8 + 8 + 4 + 2
	maxReason  = 1 << 10
	readAtOnce = 8 // records of the maximum size take a megabyte
)

// Record is a record that could not be handled.
type Record struct {
	Queue  chain.Queue
	Mark   chain.Mark
	Time   uint64    // Unix milliseconds at which it was made
	Parked time.Time // in milliseconds
	Tries  int       // how often it was handled; it was parked after each try
	Reason string
	Body   []byte // its entries, encoded
}

// Hop fills r with the record for code that works with its entries, as chain.Record.Hop does.
func (p *Record) Hop(r *hop.Record) error {
	c := chain.Record{Head: chain.Head{Kind: chain.Entries, Queue: p.Queue, Time: p.Time}, Mark: p.Mark, Body: p.Body}
	return c.Hop(r)
}

// Store is the parked records of a cluster.
type Store struct {
	client *redis.Client
	name   string
}

// New makes a Store; name is the cluster's.
func New(client *redis.Client, name string) *Store { return &Store{client: client, name: name} }

func (s *Store) key(queue chain.Queue) string {
	return fmt.Sprintf("{%s.%v.%d}k", s.name, queue.Class, queue.Number)
}

// park sets the field ARGV[1] to ARGV[2], unless the field is new and there are ARGV[3] already.
var park = redis.NewScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
`)

// Park keeps a record and replaces what was kept under its mark. It returns false if the queue has
// too many other records.
func (s *Store) Park(ctx context.Context, r *Record) (kept bool, err error) {
	results, err := s.client.Run(ctx, redis.Call{Script: park, Keys: []string{s.key(r.Queue)}, Args: []any{field(r.Mark), r.append(nil), Most}})
	if err != nil {
		return false, fmt.Errorf("parked: %w", err)
	}
	return results[0] == int64(1), nil
}

// Remove forgets records of a queue.
func (s *Store) Remove(ctx context.Context, queue chain.Queue, marks ...chain.Mark) error {
	fields := make([]string, len(marks))
	for i, m := range marks {
		fields[i] = string(field(m))
	}
	return s.remove(ctx, queue, fields)
}

func (s *Store) remove(ctx context.Context, queue chain.Queue, fields []string) error {
	if len(fields) == 0 {
		return nil
	}
	ctx, cancel := s.client.Within(ctx)
	defer cancel()
	if err := s.client.HDel(ctx, s.key(queue), fields...).Err(); err != nil {
		return fmt.Errorf("parked: %w", err)
	}
	return nil
}

// Count gives how many records of a queue are parked.
func (s *Store) Count(ctx context.Context, queue chain.Queue) (int, error) {
	ctx, cancel := s.client.Within(ctx)
	defer cancel()
	n, err := s.client.HLen(ctx, s.key(queue)).Result()
	if err != nil {
		return 0, fmt.Errorf("parked: %w", err)
	}
	return int(n), nil
}

// errUnreadable says that a parked value was not written by Park in a version that this program
// knows.
var errUnreadable = errors.New("parked: it cannot be read")

// Unreadable is something that is parked and cannot be read: it was damaged, or written by a
// later program. It is an error, too.
type Unreadable struct {
	Queue chain.Queue
	Bytes int // that it has
	field string
}

// Name names it within its queue, by its offset. If not even the offset can be read, the name is
// the field in hex.
func (u *Unreadable) Name() string {
	if len(u.field) == fieldSize {
		return fmt.Sprint(int64(binary.BigEndian.Uint64([]byte(u.field))))
	}
	return fmt.Sprintf("x%x", u.field)
}

func (u *Unreadable) Error() string {
	return fmt.Sprintf("%v, %s: the %d bytes that are parked cannot be read (`gannet parked drop %v %d %s` forgets them)", u.Queue, u.Name(), u.Bytes, u.Queue.Class, u.Queue.Number, u.Name())
}

// Name names a record within its queue.
func (p *Record) Name() string { return fmt.Sprint(p.Mark.Offset) }

// Drop forgets what is parked under a name in a queue, and gives what that was.
func (s *Store) Drop(ctx context.Context, queue chain.Queue, name string) (list []Record, unreadable []*Unreadable, err error) {
	list, unreadable, err = s.List(ctx, queue)
	if err != nil {
		return nil, nil, err
	}
	list = slices.DeleteFunc(list, func(r Record) bool { return r.Name() != name })
	unreadable = slices.DeleteFunc(unreadable, func(u *Unreadable) bool { return u.Name() != name })
	var fields []string
	for i := range list {
		fields = append(fields, string(field(list[i].Mark)))
	}
	for _, u := range unreadable {
		fields = append(fields, u.field)
	}
	return list, unreadable, s.remove(ctx, queue, fields)
}

// List gives the parked records of a queue in their order, and those that cannot be read.
func (s *Store) List(ctx context.Context, queue chain.Queue) (list []Record, unreadable []*Unreadable, err error) {
	key := s.key(queue)
	within, cancel := s.client.Within(ctx)
	fields, err := s.client.HKeys(within, key).Result()
	cancel()
	if err != nil {
		return nil, nil, fmt.Errorf("parked: %w", err)
	}
	for some := range slices.Chunk(fields, readAtOnce) {
		within, cancel := s.client.Within(ctx)
		values, err := s.client.HMGet(within, key, some...).Result()
		cancel()
		if err != nil {
			return nil, nil, fmt.Errorf("parked: %w", err)
		}
		for i, value := range values {
			text, there := value.(string)
			if !there {
				continue // removed meanwhile
			}
			r := Record{Queue: queue}
			if err := r.read(some[i], text); err != nil {
				unreadable = append(unreadable, &Unreadable{Queue: queue, Bytes: len(text), field: some[i]})
				continue
			}
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Record) int { return int(a.Mark.Offset - b.Mark.Offset) })
	slices.SortFunc(unreadable, func(a, b *Unreadable) int { return strings.Compare(a.field, b.field) })
	return list, unreadable, nil
}

func field(m chain.Mark) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(m.Offset))
	b = binary.BigEndian.AppendUint64(b, m.Writer)
	return binary.BigEndian.AppendUint64(b, m.Number)
}

func (p *Record) append(dst []byte) []byte {
	reason := p.Reason[:min(len(p.Reason), maxReason)]
	dst = append(dst, version)
	dst = binary.BigEndian.AppendUint64(dst, p.Time)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.Parked.UnixMilli()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.Tries))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(reason)))
	dst = append(dst, reason...)
	return append(dst, p.Body...)
}

func (p *Record) read(key, value string) error {
	k, v := []byte(key), []byte(value)
	if len(k) != fieldSize || len(v) < headSize || v[0] != version {
		return errUnreadable
	}
	reason := int(binary.BigEndian.Uint16(v[headSize-2:]))
	if len(v) < headSize+reason {
		return errUnreadable
	}
	p.Mark = chain.Mark{Offset: int64(binary.BigEndian.Uint64(k)), Writer: binary.BigEndian.Uint64(k[8:]), Number: binary.BigEndian.Uint64(k[16:])}
	p.Time = binary.BigEndian.Uint64(v[1:])
	p.Parked = time.UnixMilli(int64(binary.BigEndian.Uint64(v[9:])))
	p.Tries = int(binary.BigEndian.Uint32(v[17:]))
	p.Reason = string(v[headSize : headSize+reason])
	p.Body = v[headSize+reason:]
	return nil
}
