package yardstick

import (
	"strings"
	"testing"
	"time"
)

func TestAnEchoIsMeasured(t *testing.T) {
	r, err := EchoRun{
		Server: child(t, echoArgument), Connections: 10, Depth: 16, Size: 128, Duration: 300 * time.Millisecond,
	}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Frames <= 0 || r.Reads <= 0 || r.Reads > r.Frames || r.Latency.Count == 0 || r.Latency.P50 <= 0 {
		t.Errorf("measured %+v", r)
	}
}

func TestEchoInFlightIsBounded(t *testing.T) {
	err := func() error {
		_, err := EchoRun{Depth: 129, Size: 128}.Run(t.Context())
		return err
	}()
	if err == nil || !strings.Contains(err.Error(), "on their way") {
		t.Errorf("more than a socket buffer on its way: %v", err)
	}
	for _, tc := range []struct{ want, size, depth int }{
		{1, 128, 1}, {64, 128, 64}, {1000, 128, 128}, {32, 64 << 10, 1},
	} {
		if got := EchoDepth(tc.want, tc.size); got != tc.depth {
			t.Errorf("%d frames of %d bytes: depth %d, want %d", tc.want, tc.size, got, tc.depth)
		}
	}
}
