package history

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the schema. Its statements may be run again, and by several at
// once: the guard makes that rare, and a server without transactions cannot rule it out.
type migration struct {
	version    uint32
	statements []string
}

const (
	// guardLife is after how long nobody believes in a guard any more: its holder died.
	guardLife  = 30 * time.Second
	guardPause = 50 * time.Millisecond

	createVersions = "CREATE TABLE IF NOT EXISTS schema_versions (version UInt32, at DateTime DEFAULT now()) ENGINE = MergeTree() ORDER BY version"

	errTableExists = 57
)

// Migrate brings the schema to the version of this program. Any number of nodes may do so at once.
// Until Migrate has done so, or Check has found that version, and after an ErrNewer, the Store
// neither reads nor inserts.
func (s *Store) Migrate(ctx context.Context) error {
	steps, err := migrations()
	if err == nil {
		err = s.migrate(ctx, steps)
	}
	switch {
	case err == nil:
		s.schema.Store(&verdict{})
	case errors.Is(err, ErrNewer):
		s.refuse(err)
	case ctx.Err() == nil:
		return s.failed(&s.faults.migrations, "the schema cannot be brought up to date", err)
	}
	return err
}

func (s *Store) migrate(ctx context.Context, steps []migration) error {
	if err := s.createDatabase(ctx); err != nil {
		return err
	}
	if err := s.retried(ctx, createVersions); err != nil {
		return err
	}
	for i := range steps {
		if err := s.step(ctx, &steps[i], steps[len(steps)-1].version); err != nil {
			return err
		}
	}
	return nil
}

// createDatabase uses a connection of its own: one to a database needs the database.
func (s *Store) createDatabase(ctx context.Context) error {
	conn, err := s.options.connect("default")
	if err != nil {
		return err
	}
	defer conn.Close()
	for try := 0; ; try++ {
		err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+s.options.Database)
		if err == nil || try == 5 || ctx.Err() != nil {
			return err
		}
		time.Sleep(guardPause)
	}
}

// retried runs a statement, and again after an error. If several nodes create the same thing at
// once, old servers give some of them an error, but not at a second try.
func (s *Store) retried(ctx context.Context, sql string) error {
	for try := 0; ; try++ {
		err := s.conn.Exec(ctx, sql)
		if err == nil || try == 5 || ctx.Err() != nil {
			return err
		}
		time.Sleep(guardPause)
	}
}

// version gives the version of the schema, 0 for none.
func (s *Store) version(ctx context.Context) (version uint32, err error) {
	err = s.conn.QueryRow(ctx, "SELECT max(version) FROM schema_versions").Scan(&version)
	return version, err
}

// step carries out a migration, unless that was done already. Its guard is a table that only one
// node can create.
func (s *Store) step(ctx context.Context, m *migration, newest uint32) error {
	guard := fmt.Sprintf("migration_%d_guard", m.version)
	for {
		version, err := s.version(ctx)
		switch {
		case err != nil:
			return err
		case version > newest:
			return s.newer(version, newest)
		case version >= m.version:
			return nil
		}
		err = s.conn.Exec(ctx, "CREATE TABLE "+guard+" (at DateTime) ENGINE = Memory")
		if err == nil {
			break
		}
		var exception *clickhouse.Exception
		if !errors.As(err, &exception) || exception.Code != errTableExists {
			return err
		}
		if err := s.breakGuard(ctx, guard); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(guardPause):
		}
	}
	err := s.guarded(ctx, m)
	return errors.Join(err, s.conn.Exec(context.WithoutCancel(ctx), "DROP TABLE IF EXISTS "+guard))
}

// breakGuard removes the guard of somebody who died.
func (s *Store) breakGuard(ctx context.Context, guard string) error {
	return s.ask(ctx, "SELECT toUInt32(toUnixTimestamp(now())) - toUInt32(toUnixTimestamp(metadata_modification_time)) AS age FROM system.tables WHERE database = '"+
		s.options.Database+"' AND name = '"+guard+"'", func(rows driver.Rows) error {
		var age int64
		if err := rows.Scan(&age); err != nil {
			return err
		}
		if age < int64(s.guardLife/time.Second) {
			return nil
		}
		s.log.Warn("history: a guard of the schema was left by somebody who died; it is removed", "guard", guard)
		return s.conn.Exec(ctx, "DROP TABLE IF EXISTS "+guard)
	})
}

func (s *Store) guarded(ctx context.Context, m *migration) error {
	version, err := s.version(ctx)
	if err != nil || version >= m.version {
		return err
	}
	for _, statement := range m.statements {
		if err := s.retried(ctx, statement); err != nil {
			return fmt.Errorf("migration %d: %w", m.version, err)
		}
	}
	// In the native protocol the rows of an insert come as a block. With rows in the statement the
	// server would wait for the block for ever.
	return s.columns(ctx, "INSERT INTO schema_versions (version) VALUES", []uint32{m.version})
}

// migrations reads the embedded steps, in order.
func migrations() ([]migration, error) {
	files, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	var steps []migration
	for i, file := range files {
		number, _, _ := strings.Cut(file.Name(), "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil || version != uint64(i+1) {
			return nil, fmt.Errorf("history: the migration %s is not number %d", file.Name(), i+1)
		}
		b, err := migrationFiles.ReadFile(path.Join("migrations", file.Name()))
		if err != nil {
			return nil, err
		}
		steps = append(steps, migration{version: uint32(version), statements: statements(string(b))})
	}
	return steps, nil
}

// statements takes a file apart: comments are whole lines, and a semicolon ends a
// statement.
func statements(text string) (list []string) {
	var code strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			code.WriteString(line)
		}
	}
	for part := range strings.SplitSeq(code.String(), ";") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}
