package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"gannet/internal/operate"
	"gannet/logic"
)

// Options says where the history is and how it is used.
type Options struct {
	Addresses      []string // host:port for native clients, of one server or of replicas behind one name
	Database       string   // "": gannet
	User, Password string   // "": the server's default

	Timeout time.Duration // of a query, 0: 3 s; an insert has four times as long
	Queries int           // connections that are kept, 0: 4

	Log *slog.Logger // nil: slog.Default()
}

// Store is the connections of a node to ClickHouse. It is safe for concurrent use.
type Store struct {
	options Options
	conn    driver.Conn
	log     *slog.Logger
	faults  faults
}

// faults are the reasons for which something does not go as it should.
type faults struct {
	queries, inserts, migrations operate.Trouble // the server did not do what was asked
	rows                         operate.Trouble // a row that cannot be, and was refused
	missing                      operate.Trouble // what was asked for is not known to be complete
	full                         operate.Trouble // a record that the feeder had no room for
	fed                          operate.Trouble // a record that does not hold what it must
	restarts                     operate.Trouble // of the server
	retention                    operate.Trouble // a week that could not be dropped
}

// Counters gives how often something went wrong, by reason.
func (s *Store) Counters() map[string]uint64 {
	f := &s.faults
	return map[string]uint64{
		"failed_queries": f.queries.Times(), "failed_inserts": f.inserts.Times(), "failed_migrations": f.migrations.Times(),
		"refused_rows": f.rows.Times(), "incomplete": f.missing.Times(), "feeder_full": f.full.Times(),
		"refused_records": f.fed.Times(), "server_restarts": f.restarts.Times(), "failed_retention": f.retention.Times(),
	}
}

var databaseName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// Open makes a Store. It does not connect: a server that is away is no reason not to start.
func Open(options Options) (*Store, error) {
	options.Database = cmp.Or(options.Database, "gannet")
	options.Timeout = cmp.Or(options.Timeout, 3*time.Second)
	options.Queries = cmp.Or(options.Queries, 4)
	if !databaseName.MatchString(options.Database) {
		return nil, fmt.Errorf("history: %q cannot be the name of a database: letters, digits and underscores", options.Database)
	}
	conn, err := options.connect(options.Database)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return &Store{options: options, conn: conn, log: cmp.Or(options.Log, slog.Default())}, nil
}

func (o *Options) connect(database string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr:         o.Addresses,
		Auth:         clickhouse.Auth{Database: database, Username: o.User, Password: o.Password},
		Compression:  &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		DialTimeout:  o.Timeout,
		ReadTimeout:  4 * o.Timeout,
		MaxOpenConns: o.Queries + 2, // the feeder and the rebuilding do not wait for queries
		MaxIdleConns: o.Queries,
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

// failed counts an error of the server, says it and gives it as callers get it.
func (s *Store) failed(trouble *operate.Trouble, what string, err error) error {
	if trouble.Note() {
		s.log.Warn("history: "+what, "err", err.Error())
	}
	return unavailable(err)
}

// query runs a query and gives its rows to each, which scans them. The time that a query
// has is its own: many wait for one, and none of them decides for the others.
func (s *Store) query(ctx context.Context, sql string, each func(driver.Rows) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Timeout)
	defer cancel()
	return s.read(ctx, sql, each)
}

// read is query for as long as ctx lasts.
func (s *Store) read(ctx context.Context, sql string, each func(driver.Rows) error) (err error) {
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return s.failed(&s.faults.queries, "a query failed", err)
	}
	for err == nil && rows.Next() {
		err = each(rows)
	}
	stopped := err
	err = cmp.Or(err, rows.Err())
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if err != nil && (stopped == nil || !errors.Is(stopped, errStop)) {
		return s.failed(&s.faults.queries, "a query failed", err)
	}
	return err
}

// errStop is given by whoever wants no more rows.
var errStop = errors.New("history: no more rows are wanted")

// refused counts a row that cannot be.
func (s *Store) refused(table, why string, row any) {
	if s.faults.rows.Note() {
		s.log.Error("history: a row is refused", "table", table, "reason", why, "row", row)
	}
}
