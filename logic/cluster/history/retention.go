package history

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const week = 7 * 24 * time.Hour

// parts is in how many parts a week is looked through, so that the server need not have
// all its conversations in memory at once.
const parts = 16

// The last message of each conversation in a week is noted before the week is dropped. A message
// belongs to the week of its time, which never falls within a conversation. So all messages below
// the highest seq of the week go with it, or are gone already.
const (
	noteRemoved = `INSERT INTO removed (kind, a, b, seq, n, sender, device, client_id, time, content, size, body)
SELECT kind, a, b, seq, n, sender, device, client_id, time, content, size, body FROM messages
PREWHERE %[1]s AND (kind, a, b, seq) IN (SELECT kind, a, b, max(seq) FROM messages WHERE %[1]s GROUP BY kind, a, b)
LIMIT 1 BY kind, a, b`
	noteSenders = `INSERT INTO removed_senders (kind, a, b, sender, seq, own)
SELECT kind, a, b, sender, max(seq), max(own) FROM senders WHERE %[1]s GROUP BY kind, a, b, sender`
)

// Retain removes the weeks of messages that ended longer than keep ago, and gives how many.
// Conversations, cursors and devices stay, and so does the last message that was removed of each
// conversation: so nobody takes removed messages for missing ones, and unread counts stay what they
// were. Any number of nodes may do so at once, and again.
func (s *Store) Retain(ctx context.Context, keep time.Duration, now time.Time) (weeks int, err error) {
	list, err := s.weeks(ctx)
	if err != nil {
		return 0, err
	}
	for _, monday := range list {
		if monday.Add(week + keep).After(now) {
			break
		}
		if err := s.drop(ctx, monday.Format(time.DateOnly)); err != nil {
			return weeks, s.failed(&s.faults.retention, "a week cannot be dropped", err)
		}
		weeks++
	}
	return weeks, nil
}

// dropTime is how long each statement of drop may take, which goes through a part of a week. Without
// a deadline of its own the driver would end it like a query.
const dropTime = time.Hour

// drop removes the week of a day.
func (s *Store) drop(ctx context.Context, day string) error {
	var list []string
	for i := range parts {
		where := fmt.Sprintf("toMonday(at) = toDate('%s') AND a %% %d = %d", day, parts, i)
		list = append(list, fmt.Sprintf(noteRemoved, where), fmt.Sprintf(noteSenders, where))
	}
	for _, table := range []string{"messages", "senders"} {
		list = append(list, fmt.Sprintf("ALTER TABLE %s DROP PARTITION '%s'", table, day))
	}
	for _, sql := range list {
		within, cancel := context.WithTimeout(ctx, dropTime)
		err := s.conn.Exec(within, sql)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// weeks gives the mondays of the weeks of which there are messages, the oldest first.
func (s *Store) weeks(ctx context.Context) (list []time.Time, err error) {
	err = s.query(ctx, "SELECT DISTINCT partition FROM system.parts WHERE active AND database = '"+s.options.Database+"' AND (table = 'messages' OR table = 'senders')",
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
