//go:build cluster

package history

import (
	"context"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// meddled is a connection to ClickHouse on which a test has its hand: it sees each statement before
// the server does, and may do something first or give another statement instead.
type meddled struct {
	driver.Conn
	with func(sql string) string
}

// meddle puts a test between a store and its connection.
func meddle(t testing.TB, s *Store, with func(sql string) string) {
	conn := s.conn
	s.conn = &meddled{conn, with}
	t.Cleanup(func() { s.conn = conn })
}

func (m *meddled) Query(ctx context.Context, sql string, args ...any) (driver.Rows, error) {
	return m.Conn.Query(ctx, m.with(sql), args...)
}

func (m *meddled) Exec(ctx context.Context, sql string, args ...any) error {
	return m.Conn.Exec(ctx, m.with(sql), args...)
}
