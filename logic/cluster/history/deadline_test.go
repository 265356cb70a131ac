//go:build cluster

package history

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"gannet/internal/services/servicestest"
)

// hasty gives a store whose driver ends what has no deadline of its own long before a slow
// statement is done. What has one is not hurried.
func hasty(t *testing.T) *Store {
	t.Helper()
	o := optionsAt(t, servicestest.ClickHouse(t))
	s := openStore(t, o)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: o.Addresses, Auth: clickhouse.Auth{Database: o.Database}, DialTimeout: o.Timeout, ReadTimeout: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := s.conn
	t.Cleanup(func() {
		if err := s.conn.Close(); err != nil {
			t.Error(err)
		}
		s.conn = whole
	})
	s.conn = recorded(t, conn, o.Database)
	return s
}

// slowed has ClickHouse take a quarter of a second or more for each statement that has a condition.
// It gives how many those were.
func slowed(t *testing.T, s *Store, condition string) *atomic.Int64 {
	var n atomic.Int64
	meddle(t, s, func(sql string) string {
		if !strings.Contains(sql, condition) {
			return sql
		}
		n.Add(1)
		return strings.Replace(sql, condition, strings.Replace(condition, "WHERE ", "WHERE sleep(0.25) = 0 AND ", 1), 1)
	})
	return &n
}

// A rebuilding lasts as long as whoever takes it, and retention as long as a week is large: neither
// ends where a query would.
func TestSlowWorkIsNotEndedLikeAQuery(t *testing.T) {
	s := hasty(t)
	n := newNode(t, s, 1, FeederOptions{Every: manual}, nil)
	n.now = func() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }
	chat(n)
	n.flush()
	want := all(t, s, 1)
	slowly := func(what, condition string, do func(t *testing.T)) {
		t.Run(what, func(t *testing.T) {
			asked := slowed(t, s, condition)
			began := time.Now()
			do(t)
			if took := time.Since(began); asked.Load() != 1 || took < 250*time.Millisecond {
				t.Errorf("%d statements were slow, and it took %v", asked.Load(), took)
			}
		})
	}
	slowly("a rebuilding", " FROM cursors WHERE (", func(t *testing.T) { same(t, all(t, s, 1), want) })
	slowly("retention", " FROM senders WHERE toMonday(at) = toDate('2026-03-02') AND a % 16 = 1 GROUP", func(t *testing.T) {
		if weeks, err := s.Retain(t.Context(), 0, n.now().Add(2*week)); err != nil || weeks != 1 {
			t.Errorf("%d weeks are removed, %v", weeks, err)
		}
	})
}
