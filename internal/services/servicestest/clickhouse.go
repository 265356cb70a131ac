package servicestest

import "testing"

// ClickHouse gives the address of a ClickHouse server for native clients. Its default
// user has no password.
func ClickHouse(t testing.TB) string {
	t.Helper()
	return address(t, "GANNET_TEST_CLICKHOUSE")
}
