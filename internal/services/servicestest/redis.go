// Package servicestest gives tests the real servers that they need. Environment variables say where
// the servers are; scripts/test sets them. A test fails if its server is not named.
package servicestest

import (
	"os"
	"strings"
	"testing"
)

// address gives the value of an environment variable, which must be set.
func address(t testing.TB, name string) string {
	t.Helper()
	a := os.Getenv(name)
	if a == "" {
		t.Fatalf("%s is not set: run it by scripts/test, which starts what it needs", name)
	}
	return a
}

// Redis gives the address of a Redis server.
func Redis(t testing.TB) string {
	t.Helper()
	return address(t, "GANNET_TEST_REDIS")
}

// RedisCluster gives the addresses of a Redis Cluster of three masters.
func RedisCluster(t testing.TB) []string {
	t.Helper()
	return strings.Split(address(t, "GANNET_TEST_REDIS_CLUSTER"), ",")
}
