//go:build cluster

package rocketmq

import (
	"errors"
	"strings"
	"testing"

	"gannet/internal/services/servicestest"
)

// TestCheckFlush: a broker that flushes first is told from one that does not, and one that
// nobody knows is neither.
func TestCheckFlush(t *testing.T) {
	at := server(t)
	first, _ := servicestest.Broker(t, at)
	if err := CheckFlush(t.Context(), []string{at}, first); err != nil {
		t.Errorf("of a broker with SYNC_FLUSH it says %v", err)
	}
	later := startBroker(t, at, "flushDiskType=ASYNC_FLUSH")
	err := CheckFlush(t.Context(), []string{at}, later.name)
	if !errors.Is(err, ErrFlushesLater) || !strings.Contains(err.Error(), "flushDiskType=SYNC_FLUSH") || !strings.Contains(err.Error(), later.name+" has ASYNC_FLUSH") {
		t.Errorf("of a broker with ASYNC_FLUSH it says %v", err)
	}
	if err := CheckFlush(t.Context(), []string{at}, "nobody"); err == nil || errors.Is(err, ErrFlushesLater) {
		t.Errorf("of a broker that there is not it says %v", err)
	}
}
