// Package servicestest tells tests where the servers are that they need.
package servicestest

import (
	"os"
	"testing"
)

// RocketMQ gives the address of the name server.
func RocketMQ(t testing.TB) string { return need(t, "GANNET_TEST_ROCKETMQ") }

// RocketMQJars gives the folder with the jars of RocketMQ, for tests that start and kill
// a broker of their own beside the name server.
func RocketMQJars(t testing.TB) string { return need(t, "GANNET_TEST_ROCKETMQ_JARS") }

func need(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run it by scripts/test, which starts what it needs", name)
	}
	return value
}
