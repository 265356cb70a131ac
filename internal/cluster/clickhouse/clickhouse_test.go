//go:build cluster

package clickhouse_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"gannet/internal/cluster"
	"gannet/internal/cluster/clickhouse"
	"gannet/internal/services/servicestest"
)

func TestFirstPlanStays(t *testing.T) {
	c := clickhouse.Copy{Name: "test", Options: clickhouse.Options{
		Addresses: []string{servicestest.ClickHouse(t)}, Database: "t" + strings.ToLower(rand.Text()[:12]), Timeout: 10 * time.Second,
	}}
	t.Cleanup(func() {
		conn, err := driver.Open(&driver.Options{Addr: c.Addresses})
		if err == nil {
			err = conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+c.Database)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Load(t.Context()); p != nil || err != nil {
		t.Fatalf("before: %v, %v", p, err)
	}
	first, err := cluster.New("test", 3, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	second, err := cluster.New("test", 3, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*cluster.Plan{first, second} {
		if kept, err := c.Save(t.Context(), p); err != nil || !kept.Equal(first) {
			t.Errorf("kept %+v, %v", kept, err)
		}
	}
	if kept, err := c.Load(t.Context()); err != nil || kept == nil || !kept.Equal(first) {
		t.Errorf("after: %+v, %v", kept, err)
	}
	other := c
	other.Name = "other"
	if p, err := other.Load(t.Context()); p != nil || err != nil {
		t.Errorf("another cluster has the plan %v, %v", p, err)
	}
	away := c
	away.Addresses = []string{"127.0.0.1:1"}
	if _, err := away.Load(t.Context()); err == nil {
		t.Error("a ClickHouse that is not there says that there is no plan")
	}
	if err := away.Check(t.Context()); err == nil {
		t.Error("a ClickHouse that is not there can be worked with")
	}
}
