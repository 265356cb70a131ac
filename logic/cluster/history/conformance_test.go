//go:build cluster

package history

import (
	"context"
	"fmt"
	"testing"

	"gannet/internal/hop"
	"gannet/internal/services/servicestest"
	"gannet/logic"
	"gannet/logic/conformance"
)

// The suite of logic.History: with everything in memory, with nothing, and with some.
func TestConformance(t *testing.T) {
	for _, keep := range []int{0, 3, 1 << 20} {
		t.Run(fmt.Sprintf("%d messages in memory", keep), func(t *testing.T) {
			conformance.History(t, func(t *testing.T, setup conformance.Setup) conformance.Stores {
				store := openStore(t, optionsAt(t, servicestest.ClickHouse(t)))
				var open func(earlier *node) conformance.Stores
				open = func(earlier *node) conformance.Stores {
					n := newNode(t, store, 2, FeederOptions{Every: manual}, earlier)
					n.keep, n.now = keep, setup.Now
					n.publish = func(r *hop.Record) { setup.Publish(r) }
					return conformance.Stores{
						Log: n, History: flushed{n}, Queues: 2,
						Reopen: func() conformance.Stores {
							if err := n.feeder.Stop(t.Context()); err != nil {
								t.Fatal(err)
							}
							return open(n)
						},
					}
				}
				return open(nil)
			})
		})
	}
}

// flushed inserts before each read, so that it depends on keep alone what is in memory.
type flushed struct{ *node }

func (f flushed) Pages(ctx context.Context, pages []*logic.Page) error {
	f.flush()
	return f.reader.Pages(ctx, pages)
}
