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
	"gannet/internal/cluster/conformance"
	"gannet/internal/services/servicestest"
)

// away is a ClickHouse that is not there.
var away = clickhouse.Options{Addresses: []string{"127.0.0.1:1"}, Database: "t", Timeout: time.Second}

func TestConformance(t *testing.T) {
	conformance.Copy(t, func(t *testing.T) conformance.Place {
		o := clickhouse.Options{
			Addresses: []string{servicestest.ClickHouse(t)}, Database: "t" + strings.ToLower(rand.Text()[:12]), Timeout: 10 * time.Second,
		}
		run := func(statement string, args ...any) {
			conn, err := driver.Open(&driver.Options{Addr: o.Addresses})
			if err == nil {
				err = conn.Exec(context.Background(), statement, args...)
				_ = conn.Close()
			}
			if err != nil {
				t.Error(err)
			}
		}
		t.Cleanup(func() { run("DROP DATABASE IF EXISTS " + o.Database) })
		return conformance.Place{
			Copy: func(name string) cluster.Copy { return clickhouse.Copy{Options: o, Name: name} },
			Away: func() cluster.Copy { return clickhouse.Copy{Options: away, Name: "a"} },
			Damage: func(text string) {
				if _, err := (clickhouse.Copy{Options: o, Name: "a"}).Load(t.Context()); err != nil { // makes the table
					t.Fatal(err)
				}
				run("INSERT INTO "+o.Database+".plan (name, made, plan) SELECT 'a', now(), ?", text)
			},
		}
	})
}

func TestCheck(t *testing.T) {
	there := clickhouse.Options{Addresses: []string{servicestest.ClickHouse(t)}, Timeout: 10 * time.Second}
	if err := (clickhouse.Copy{Options: there}).Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := (clickhouse.Copy{Options: away}).Check(t.Context()); err == nil {
		t.Error("a ClickHouse that is not there can be worked with")
	}
}
