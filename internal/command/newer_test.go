//go:build cluster

package command

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"gannet/internal/services/servicestest"
	"gannet/logic/cluster/history"
)

// A logic node does not start with a history that a newer program has made its own.
func TestALogicNodeRefusesANewerHistory(t *testing.T) {
	c := &logicCmd{}
	c.Clickhouse, c.Cluster = []string{servicestest.ClickHouse(t)}, "test_"+strings.ToLower(rand.Text())
	store, err := history.Open(c.options(c.Cluster, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: c.Clickhouse, Auth: clickhouse.Auth{Database: "default"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer conn.Exec(t.Context(), "DROP DATABASE "+c.Cluster)
	if err := conn.Exec(t.Context(), "INSERT INTO "+c.Cluster+".schema_versions (version) SELECT 1000"); err != nil {
		t.Fatal(err)
	}
	n := &node{ctx: t.Context(), log: slog.New(slog.DiscardHandler)}
	_, _, err = c.openArchive(n)
	if !errors.Is(err, history.ErrNewer) || !strings.Contains(err.Error(), "version 1000") {
		t.Errorf("it ends with %v", err)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}
