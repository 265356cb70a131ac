package operate

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestPause: it lasts as long as it is to, and ends with its context.
func TestPause(t *testing.T) {
	begun := time.Now()
	if err := Pause(t.Context(), 20*time.Millisecond); err != nil || time.Since(begun) < 20*time.Millisecond {
		t.Errorf("after %v it gives %v", time.Since(begun), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	begun = time.Now()
	if err := Pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("after %v it gives %v", time.Since(begun), err)
	}
}
