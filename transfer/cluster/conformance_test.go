//go:build cluster

package cluster

import (
	"testing"

	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/transfer"
	"gannet/transfer/conformance"
)

func TestConformance(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addresses []string) {
		conformance.Queue(t, func(t *testing.T) (transfer.Queue, conformance.Put) {
			s := newScene(t, 2, addresses...)
			s.node(1)
			q := s.open(1)
			must(t, q.Begin(t.Context(), 0, 1))
			return q, func(record *hop.Record) { s.writers[record.Queue].put(record) }
		})
	})
}
