package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/internal/chain"
	"gannet/logic/ledger"
	"gannet/protocol"
)

// Rebuild says which conversations are wanted.
type Rebuild struct {
	Queue  chain.Queue
	Queues int             // of the class
	Kinds  []protocol.Kind // of the class
	Batch  int             // conversations at once, 0: 1,000
	Rows   int             // of states in one step, about, 0: 50,000

	Only []protocol.Conversation // nil: all
}

// rebuildRows is how many rows of states the server sorts at a time, about: a queue with more is
// read in several steps. The partitions of a queue have about as many rows each, so a step is
// seldom much larger.
const rebuildRows = 50_000

// Progress is how far a rebuilding has come.
type Progress struct {
	Mark          chain.Mark // everything up to it is in what is given; some is newer
	Steps, Whole  int        // that are done, of how many
	Conversations int        // that were given
}

// Whole is a conversation with its members, devices and newest message, or with an Err. Last is
// that message, an encoded protocol.Message. It is empty if the message came after Progress.Mark
// and is not inserted yet.
type Whole struct {
	*ledger.Loaded
	Last []byte
}

// Rebuild hands the conversations of a queue to take, a batch at a time, to make an emptied view
// from. The caller must then take in from the queue what came after Progress.Mark. One rebuilding
// is under way at a time.
func (s *Store) Rebuild(ctx context.Context, which Rebuild, take func([]Whole, Progress) error) error {
	select {
	case s.rebuild <- struct{}{}:
		defer func() { <-s.rebuild }()
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	if len(which.Kinds) == 0 || which.Queue.Number >= min(which.Queues, protocol.Partitions) {
		return fmt.Errorf("history: %+v cannot be rebuilt", which)
	}
	mark, err := s.Mark(ctx, which.Queue)
	if err != nil {
		return err
	}
	steps, err := s.rebuildSteps(ctx, &which)
	if err != nil {
		return err
	}
	p := Progress{Mark: mark, Whole: len(steps)}
	limit := cmp.Or(which.Batch, 1000)
	var batch []Whole
	give := func() error {
		if err := s.last(ctx, batch); err != nil {
			return err
		}
		p.Conversations += len(batch)
		err := take(batch, p)
		batch = nil
		return err
	}
	for _, step := range steps {
		err := s.rebuildStep(ctx, step, func(w Whole) error {
			if batch = append(batch, w); len(batch) < limit {
				return nil
			}
			return give()
		})
		if err != nil {
			return err
		}
		p.Steps++
		if len(batch) > 0 || p.Steps == p.Whole {
			if err := give(); err != nil {
				return err
			}
		}
	}
	if len(steps) == 0 {
		return give()
	}
	return nil
}

// rebuildSteps gives the conditions with which the conversations of a queue are read, one after the
// other. There are as few as the number of rows allows.
func (s *Store) rebuildSteps(ctx context.Context, which *Rebuild) (steps []string, err error) {
	for part := range slices.Chunk(which.Only, maxWindows) {
		steps = append(steps, string(anyOf(nil, part, func(sql []byte, c *protocol.Conversation) []byte {
			sql = strconv.AppendInt(append(sql, "(part = "...), int64(c.Partition()), 10)
			return append(conversationIs(append(sql, " AND "...), *c), ')')
		})))
	}
	if which.Only != nil {
		return steps, nil
	}
	var partitions []int
	for part := which.Queue.Number; part < protocol.Partitions; part += which.Queues {
		partitions = append(partitions, part)
	}
	is := func(parts []int) string {
		return fmt.Sprintf("part IN (%s) AND kind IN (%s)", numbers(parts), numbers(which.Kinds))
	}
	where := is(partitions)
	rows := make(map[int]int, len(partitions))
	var tables []string
	for _, table := range []string{"conversations", "cursors", "devices"} {
		tables = append(tables, "SELECT part FROM "+table+" WHERE "+where)
	}
	err = s.query(ctx, "SELECT part, count() FROM ("+strings.Join(tables, " UNION ALL ")+") GROUP BY part", func(r driver.Rows) error {
		var part uint8
		var n uint64
		err := r.Scan(&part, &n)
		rows[int(part)] = int(n)
		return err
	})
	var step []int
	size, limit := 0, cmp.Or(which.Rows, rebuildRows)
	for _, part := range partitions {
		if rows[part] == 0 {
			continue
		}
		if len(step) > 0 && size+rows[part] > limit {
			steps, step, size = append(steps, is(step)), nil, 0
		}
		step, size = append(step, part), size+rows[part]
	}
	if len(step) > 0 {
		steps = append(steps, is(step))
	}
	return steps, err
}

// numbers lists numbers for a statement.
func numbers[T ~int | ~uint8](list []T) string {
	var b []byte
	for i, n := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(b)
}

// stepTime is how long one step of a rebuilding may take. Redis is filled meanwhile, so a step takes
// much longer than a query; without a deadline of its own the driver would end it like one.
const stepTime = 2 * time.Minute

// rebuildStep gives the conversations that meet a condition, with their newest messages. One query
// beside those of the states reads these messages, in the same order.
func (s *Store) rebuildStep(ctx context.Context, where string, each func(Whole) error) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	sql := columnsOfRow + " FROM messages PREWHERE (kind, a, b, seq) IN (SELECT kind, a, b, max(head) FROM conversations WHERE (" + where +
		") GROUP BY kind, a, b) ORDER BY kind, a, b, seq, linked DESC LIMIT 1 BY kind, a, b, seq"
	messages, err := open(ctx, s, sql, func(rows driver.Rows, r *row, at *place) error {
		read := make(found, 1)
		err := s.scanRow(rows, read)
		for c, list := range read {
			at.kind, at.key, *r = uint8(c.Kind), c, list[0]
		}
		return err
	})
	if err != nil {
		return err
	}
	defer messages.close()
	err = s.states(ctx, where, func(l *ledger.Loaded) error {
		w := Whole{Loaded: l}
		messages.upTo(place{kind: uint8(l.Key.Kind), key: l.Key}, func(r row) {
			if r.seq == l.Head && r.whole {
				w.Last = r.message.AppendPayload(nil)
			}
		})
		if messages.err != nil {
			return messages.err
		}
		return each(w)
	})
	if err != nil {
		cancel() // else the rest would be read
	}
	return cmp.Or(err, messages.err)
}

// last fills in the newest messages that are missing: large ones, those that retention has
// removed, and those of conversations that went on between two queries.
func (s *Store) last(ctx context.Context, list []Whole) error {
	var windows []window
	for _, l := range list {
		if l.Err == nil && l.Last == nil {
			windows = append(windows, window{l.Key, l.Head, l.Head})
		}
	}
	rows, err := s.heads(ctx, windows)
	if err != nil {
		return err
	}
	var large []*row
	var missing []window
	for _, w := range windows {
		if found := rows[w.conversation]; len(found) == 0 {
			missing = append(missing, w)
		} else if !found[0].whole {
			large = append(large, &found[0])
		}
	}
	if err := s.bodies(ctx, large); err != nil {
		return err
	}
	removed, err := s.lastRemoved(ctx, missing)
	if err != nil {
		return err
	}
	for i := range list {
		found := rows[list[i].Key]
		if len(found) == 0 {
			found = removed[list[i].Key] // of those that are missing
		}
		if len(found) > 0 && found[0].whole {
			list[i].Last = found[0].message.AppendPayload(nil)
		}
	}
	return s.lastKept(ctx, list)
}

// heads reads the one message of each window. A set of keys is much less work for the
// server than as many conditions.
func (s *Store) heads(ctx context.Context, list []window) (found, error) {
	rows := make(found, len(list))
	for part := range slices.Chunk(list, maxHeads) {
		sql := append(make([]byte, 0, 512+len(part)*72), columnsOfRow+" FROM messages PREWHERE (kind, a, b, seq) IN ("...)
		for i, w := range part {
			if i > 0 {
				sql = append(sql, ", "...)
			}
			sql = strconv.AppendUint(append(sql, '('), uint64(w.conversation.Kind), 10)
			sql = strconv.AppendUint(append(sql, ", "...), w.conversation.A, 10)
			sql = strconv.AppendUint(append(sql, ", "...), w.conversation.B, 10)
			sql = strconv.AppendUint(append(sql, ", "...), w.first, 10)
			sql = append(sql, ')')
		}
		sql = append(sql, ") ORDER BY kind, a, b, seq, linked DESC LIMIT 1 BY kind, a, b, seq"...)
		if err := s.query(ctx, string(sql), func(r driver.Rows) error { return s.scanRow(r, rows) }); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// maxHeads bounds the keys of one query. If each key is as long as it can be, the query is a third
// as long as a server accepts by default.
const maxHeads = 1000
