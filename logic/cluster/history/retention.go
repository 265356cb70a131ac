package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const week = 7 * 24 * time.Hour

// Retain removes the weeks of messages that ended longer than keep ago, and gives how many.
// What was removed is noted first, so that nobody takes it for missing, and with it the
// counts that unread is worked out from. Conversations, devices and cursors stay. Any
// number of nodes may do so at once, and again.
func (s *Store) Retain(ctx context.Context, keep time.Duration, now time.Time) (weeks int, err error) {
	for _, t := range []struct {
		name string
		note bool
	}{{"messages", true}, {"senders", false}, {"marks", false}} {
		list, err := s.weeks(ctx, t.name)
		if err != nil {
			return weeks, err
		}
		if t.name == "marks" && len(list) > 0 {
			list = list[:len(list)-1] // the newest mark says where to go on
		}
		for _, monday := range list {
			if monday.Add(week + keep).After(now) {
				break
			}
			if err := s.drop(ctx, t.name, monday, t.note); err != nil {
				return weeks, s.failed(&s.faults.retention, "a week cannot be dropped", err)
			}
			if t.note {
				weeks++
			}
		}
	}
	return weeks, nil
}

// weeks gives the mondays of the weeks of which a table has rows, the oldest first.
func (s *Store) weeks(ctx context.Context, table string) (list []time.Time, err error) {
	err = s.query(ctx, "SELECT DISTINCT partition FROM system.parts WHERE active AND database = '"+s.options.Database+"' AND table = '"+table+"'",
		func(rows driver.Rows) error {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			monday, err := time.Parse(time.DateOnly, name)
			if err != nil {
				s.refused("system.parts", "a partition that is no week", name)
				return nil
			}
			list = append(list, monday)
			return nil
		})
	slices.SortFunc(list, time.Time.Compare)
	return list, err
}

// drop removes a week of a table. It may take long, so it has no limit but ctx.
func (s *Store) drop(ctx context.Context, table string, monday time.Time, note bool) error {
	day := monday.Format(time.DateOnly)
	if note {
		// A message's week is that of its time, which never falls within a conversation: so
		// all below the highest seq of the week is gone with it or was gone before.
		err := errors.Join(
			s.conn.Exec(ctx, fmt.Sprintf("INSERT INTO removed (kind, a, b, whole, sender, seq, n, own) SELECT kind, a, b, 1, 0, max(seq), max(n), 0 FROM messages WHERE toMonday(at) = toDate('%s') GROUP BY kind, a, b", day)),
			s.conn.Exec(ctx, fmt.Sprintf("INSERT INTO removed (kind, a, b, whole, sender, seq, n, own) SELECT kind, a, b, 0, sender, max(seq), 0, max(own) FROM messages WHERE toMonday(at) = toDate('%s') GROUP BY kind, a, b, sender", day)),
		)
		if err != nil {
			return err
		}
	}
	return s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP PARTITION '%s'", table, day))
}
