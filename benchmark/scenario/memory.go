package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"gannet/benchmark/meter"
)

// debugTimeout is how long the server may take for a garbage collection.
const debugTimeout = 30 * time.Second

// memory is what the server says about itself after a garbage collection, or
// only what the system says about it.
type memory struct {
	HeapInUse   uint64 `json:"heap_inuse"`
	HeapAlloc   uint64 `json:"heap_alloc"` // after a collection: what is live
	StackInUse  uint64 `json:"stack_inuse"`
	RSS         uint64 `json:"rss"`
	Goroutines  uint64 `json:"goroutines"`
	Connections uint64 `json:"connections"`
}

// memory asks the server for its memory after a garbage collection.
func (t *target) memory(ctx context.Context) (m memory, err error) {
	if t.process == nil || t.process.Debug == "" {
		u, err := meter.ReadUsage(t.pid)
		if err != nil {
			return m, fmt.Errorf("benchmark: memory of the server: %w (name its process with --server-pid)", err)
		}
		return memory{RSS: u.RSS}, nil
	}
	err = t.ask(ctx, "/debug/memory?gc=1", &m)
	return m, err
}

// ask asks the debug endpoint of a server that was started with one.
func (t *target) ask(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, debugTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.process.Debug+path, nil)
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	// A connection of its own that is closed at once: none stays behind.
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("benchmark: debug endpoint of the server: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("benchmark: debug endpoint of the server: %s", response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("benchmark: debug endpoint of the server: %w", err)
	}
	return nil
}
