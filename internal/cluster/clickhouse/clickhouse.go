// Package clickhouse keeps the plan of a cluster in ClickHouse.
package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"gannet/internal/cluster"
)

// Options say which ClickHouse, and how.
type Options struct {
	Addresses      []string // host:port for native clients; the first one that answers is used
	Database       string
	User, Password string
	Timeout        time.Duration // of a statement
}

// Copy is a cluster.Copy. It keeps the plan in the table plan of the cluster's database. If nodes
// wrote several rows of one name at the same time, the oldest row counts.
type Copy struct {
	Options
	Name string // of the cluster
}

// connect makes a connection for one use. The plan is read rarely, such as at the start of a node.
func (c Copy) connect(database string) (clickhouse.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr: c.Addresses, Auth: clickhouse.Auth{Database: database, Username: c.User, Password: c.Password},
		DialTimeout: c.Timeout, ReadTimeout: c.Timeout, MaxOpenConns: 1,
	})
}

// Check says whether ClickHouse can be worked with.
func (c Copy) Check(ctx context.Context) error {
	conn, err := c.connect("default")
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.Ping(ctx)
	var said *clickhouse.Exception
	if err != nil && !errors.As(err, &said) && strings.Contains(err.Error(), "handshake") {
		err = fmt.Errorf("it takes connections and does not answer as ClickHouse does; it may hang, or be another port than that of the native protocol (9000), or no ClickHouse: %w", err)
	}
	return err
}

// Load implements cluster.Copy.
func (c Copy) Load(ctx context.Context) (*cluster.Plan, error) {
	conn, err := c.ready(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return c.load(ctx, conn)
}

// ready connects, and makes the database and the table if they do not exist.
func (c Copy) ready(ctx context.Context) (clickhouse.Conn, error) {
	first, err := c.connect("default")
	if err != nil {
		return nil, err
	}
	defer first.Close()
	if err := first.Exec(ctx, fmt.Sprintf("CREATE DATABASE IF NOT EXISTS %s", c.Database)); err != nil {
		return nil, err
	}
	conn, err := c.connect(c.Database)
	if err != nil {
		return nil, err
	}
	if err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS plan (name String, made DateTime, plan String) ENGINE = MergeTree ORDER BY (name, made, plan)"); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c Copy) load(ctx context.Context, conn clickhouse.Conn) (*cluster.Plan, error) {
	var text string
	err := conn.QueryRow(ctx, "SELECT plan FROM plan WHERE name = ? ORDER BY made, plan LIMIT 1", c.Name).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return cluster.Decode([]byte(text))
}

// Save implements cluster.Copy.
func (c Copy) Save(ctx context.Context, plan *cluster.Plan) (*cluster.Plan, error) {
	text, err := plan.Encode()
	if err != nil {
		return nil, err
	}
	conn, err := c.ready(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if kept, err := c.load(ctx, conn); kept != nil || err != nil {
		return kept, err
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO plan (name, made, plan) VALUES")
	if err != nil {
		return nil, err
	}
	if err := batch.Append(c.Name, plan.Made, string(text)); err != nil {
		return nil, err
	}
	if err := batch.Send(); err != nil {
		return nil, err
	}
	return c.load(ctx, conn)
}
