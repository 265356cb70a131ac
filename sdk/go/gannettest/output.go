package gannettest

import (
	"io"
	"sync"
)

// output is the test's log for as long as the test runs; to write there later would be
// a panic. The log is shown when the test fails, and with go test -v.
type output struct {
	mu sync.Mutex
	to io.Writer // nil: the test is over
}

// Write never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		return len(p), nil
	}
	return o.to.Write(p)
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = nil
}
