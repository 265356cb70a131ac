package command

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	logicstore "gannet/logic/embedded"
)

// TestStoreHasTimeOfItsOwn: the store is closed in order although the parts before it
// have used up the time of the stop.
func TestStoreHasTimeOfItsOwn(t *testing.T) {
	store, err := logicstore.Open(filepath.Join(t.TempDir(), "db"), logicstore.Options{Queues: 1, MinFree: -1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	<-ctx.Done()
	if err := (&server{store: store}).stopStore(ctx); err != nil {
		t.Error(err)
	}
	if stopTimeout >= storeTimeout || storeTimeout >= exitTimeout {
		t.Error("the process is cut off before the store has ended")
	}
}
