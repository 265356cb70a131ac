//go:build cluster

package servicestest

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func TestClickHouseAnswers(t *testing.T) {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{ClickHouse(t)}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var one uint8
	if err := conn.QueryRow(t.Context(), "SELECT 1").Scan(&one); err != nil || one != 1 {
		t.Errorf("got %d, %v", one, err)
	}
}
