package embedded

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gannet/logic/conformance"
)

func TestConformance(t *testing.T) {
	suite := func(t *testing.T, opts Options) {
		open := func(t *testing.T, now func() time.Time) conformance.Stores {
			opts.FS, opts.Now = vfs.NewMem(), now
			return openStores(t, opts)
		}
		t.Run("Log", func(t *testing.T) { conformance.Log(t, open) })
		t.Run("History", func(t *testing.T) { conformance.History(t, open) })
		t.Run("Inbox", func(t *testing.T) { conformance.Inbox(t, open) })
		t.Run("Cursors", func(t *testing.T) { conformance.Cursors(t, open) })
	}
	t.Run("one lane", func(t *testing.T) { suite(t, Options{Lanes: 1}) })
	t.Run("a cache of one conversation", func(t *testing.T) { suite(t, Options{Lanes: 2, CacheConversations: 1}) })
}

// published keeps what a store publishes.
type published struct {
	mu      sync.Mutex
	records map[int][][]byte
}

func (p *published) add(lane int, record []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records[lane] = append(p.records[lane], slices.Clone(record))
}

func (p *published) of(lane int) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.records[lane])
}

func openStores(t *testing.T, opts Options) conformance.Stores {
	published := &published{records: make(map[int][][]byte)}
	opts.Publish = published.add
	var open func() conformance.Stores
	open = func() conformance.Stores {
		s, err := Open("data", opts)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return conformance.Stores{
			Log: s, History: s, Inbox: s, Cursors: s, Lanes: opts.Lanes, Records: published.of,
			Reopen: func() conformance.Stores {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				return open()
			},
		}
	}
	return open()
}
