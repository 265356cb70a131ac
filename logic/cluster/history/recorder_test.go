//go:build cluster

package history

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// With -statements every statement that the server took is written to that file, a line of
// JSON each, for scripts/statements, which runs them on a newer engine.
var statementsFile = flag.String("statements", "", "file for the statements that the server took")

// recorder is a connection whose statements are written down.
type recorder struct {
	driver.Conn
	t        testing.TB
	database string
}

// recording guards the file.
var recording sync.Mutex

// recorded gives the connection of a test's own database, as it is or with a recorder.
func recorded(t testing.TB, conn driver.Conn, database string) driver.Conn {
	if *statementsFile == "" {
		return conn
	}
	return &recorder{conn, t, database}
}

// took writes a statement down if it went well.
func (r *recorder) took(sql string, err error) {
	if err != nil {
		return
	}
	line, err := json.Marshal(map[string]string{"test": r.t.Name(), "database": r.database, "sql": sql})
	if err != nil {
		r.t.Error(err)
		return
	}
	recording.Lock()
	defer recording.Unlock()
	f, err := os.OpenFile(*statementsFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
		if closed := f.Close(); err == nil {
			err = closed
		}
	}
	if err != nil {
		r.t.Error(err)
	}
}

func (r *recorder) Exec(ctx context.Context, sql string, args ...any) error {
	err := r.Conn.Exec(ctx, sql, args...)
	r.took(sql, err)
	return err
}

func (r *recorder) Query(ctx context.Context, sql string, args ...any) (driver.Rows, error) {
	rows, err := r.Conn.Query(ctx, sql, args...)
	r.took(sql, err)
	return rows, err
}

func (r *recorder) QueryRow(ctx context.Context, sql string, args ...any) driver.Row {
	row := r.Conn.QueryRow(ctx, sql, args...)
	r.took(sql, row.Err())
	return row
}

func (r *recorder) PrepareBatch(ctx context.Context, sql string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	batch, err := r.Conn.PrepareBatch(ctx, sql, opts...)
	r.took(sql, err)
	return batch, err
}
