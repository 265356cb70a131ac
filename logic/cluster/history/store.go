package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/internal/operate"
	"gannet/logic"
)

// Options says where the history is and how it is used.
type Options struct {
	Addresses      []string // host:port for native clients; the first one that answers is used
	Database       string   // "": gannet
	User, Password string   // "": the server's default

	// Compress has everything to and from the server compressed by LZ4. An insert then costs the
	// node a third more, and the network carries less: uncompressed, a message takes some 300
	// bytes, about as many as on its way to the broker. That is worth it if the server is in
	// another network. On its disk the server compresses either way.
	Compress bool

	Timeout time.Duration // of a query, 0: 3 s; an insert has four times as long

	// Margin is for how long the server may hold what it has taken without syncing it. After a
	// restart of the server, records that reach so far behind the mark are fed again. 0: 2 minutes.
	Margin time.Duration

	Log *slog.Logger // nil: slog.Default()
}

// Store is the connections of a node to ClickHouse. It is safe for concurrent use.
type Store struct {
	options Options
	conn    driver.Conn
	log     *slog.Logger
	faults  faults
	done    done
	schema  atomic.Pointer[verdict] // nil: nobody has looked at it yet

	guardLife time.Duration
	rebuild   chan struct{} // has room for the one rebuilding under way
}

// done counts what was asked of the server, whether the server did it or not.
type done struct{ queries, inserts atomic.Uint64 }

// faults are the reasons for which something does not go as it should.
type faults struct {
	queries, inserts, migrations operate.Trouble // the server did not do what was asked
	newer                        operate.Trouble // what was not done since the schema is of a newer program
	retention                    operate.Trouble // a week could not be dropped
	rows                         operate.Trouble // an impossible row was refused
	fed                          operate.Trouble // a message of a record cannot be read
	missing                      operate.Trouble // what was asked for is not known to be complete
	full                         operate.Trouble // there was no room for a record
	restarts                     operate.Trouble // the server was started anew
	gaps                         operate.Trouble // the queue had lost records that were not inserted
}

// Vars are counters for the debug address.
func (s *Store) Vars() map[string]uint64 {
	f := &s.faults
	return map[string]uint64{
		"queries": s.done.queries.Load(), "inserts": s.done.inserts.Load(),
		"failed.query": f.queries.Times(), "failed.insert": f.inserts.Times(), "failed.migration": f.migrations.Times(),
		"failed.retention": f.retention.Times(), "damaged.row": f.rows.Times(), "damaged.message": f.fed.Times(),
		"refused.incomplete": f.missing.Times(), "refused.full": f.full.Times(), "restarts": f.restarts.Times(), "gaps": f.gaps.Times(),
		"refused.newer_schema": f.newer.Times(),
	}
}

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// Open makes a Store. It does not connect: a server that is away is no reason not to start.
func Open(options Options) (*Store, error) {
	options.Database = cmp.Or(options.Database, "gannet")
	options.Timeout = cmp.Or(options.Timeout, 3*time.Second)
	options.Margin = cmp.Or(options.Margin, 2*time.Minute)
	if !databaseName.MatchString(options.Database) {
		return nil, fmt.Errorf("history: %q cannot be the name of a database: letters, digits and underscores", options.Database)
	}
	conn, err := options.connect(options.Database)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return &Store{options: options, conn: conn, log: cmp.Or(options.Log, slog.Default()), guardLife: guardLife, rebuild: make(chan struct{}, 1)}, nil
}

// connections is as many as are ever under way, so that nothing waits for one: a page, a
// walk, counts, their bounds and the feeder have one each, a load three, a rebuilding five, and a
// migration two.
const connections = 15

func (o *Options) connect(database string) (driver.Conn, error) {
	method := clickhouse.CompressionNone
	if o.Compress {
		method = clickhouse.CompressionLZ4
	}
	return clickhouse.Open(&clickhouse.Options{
		Addr:         o.Addresses,
		Auth:         clickhouse.Auth{Database: database, Username: o.User, Password: o.Password},
		Compression:  &clickhouse.Compression{Method: method},
		DialTimeout:  o.Timeout,
		ReadTimeout:  4 * o.Timeout,
		MaxOpenConns: connections,
		MaxIdleConns: connections,
	})
}

// Close ends the connections. Nothing may use the store any more.
func (s *Store) Close() error { return s.conn.Close() }

// unavailable is what callers get for an error of the server.
func unavailable(err error) error {
	if err == nil || errors.Is(err, logic.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: ClickHouse: %w", logic.ErrUnavailable, err)
}

// failed counts and logs an error of the server, and gives it as callers get it.
func (s *Store) failed(trouble *operate.Trouble, what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return unavailable(err) // its caller went away
	}
	if trouble.Note() {
		s.log.Warn("history: "+what, "err", err.Error())
	}
	return unavailable(err)
}

// query runs a query that must be answered within Options.Timeout, and hands its rows to each,
// which scans them.
func (s *Store) query(ctx context.Context, sql string, each func(driver.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	return s.read(ctx, sql, each)
}

// read is query for as long as ctx lasts.
func (s *Store) read(ctx context.Context, sql string, each func(driver.Rows) error) error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.ask(ctx, sql, each)
}

// ask is read without the check of the schema.
func (s *Store) ask(ctx context.Context, sql string, each func(driver.Rows) error) (err error) {
	s.done.queries.Add(1)
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return s.failed(&s.faults.queries, "a query failed", err)
	}
	for err == nil && rows.Next() {
		err = each(rows)
	}
	err = cmp.Or(err, rows.Err())
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return s.failed(&s.faults.queries, "a query failed", err)
	}
	return nil
}

// refused counts and logs a row that is impossible.
func (s *Store) refused(table, why string, row any) {
	if s.faults.rows.Note() {
		s.log.Error("history: a row is refused", "table", table, "reason", why, "row", row)
	}
}
