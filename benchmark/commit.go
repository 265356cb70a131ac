package benchmark

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// commitRun is one measurement of the commit limit: one writer that gives
// Pebble batch after batch, each durable before the next.
type commitRun struct {
	dir      string // where the temporary folder of the store goes
	records  int    // in a batch
	size     int    // of a record, in bytes
	duration time.Duration
}

// commitResult is what a commitRun saw.
type commitResult struct {
	records float64 // per second
	commits float64 // per second
	latency Latency // of a commit
}

// commitMemtable is large enough that flushes do not come with every few
// batches, as any store with this load would set it.
const commitMemtable = 64 << 20

func (r commitRun) run(ctx context.Context) (result commitResult, err error) {
	dir, err := os.MkdirTemp(r.dir, "gannet-commit-")
	if err != nil {
		return result, fmt.Errorf("benchmark: %w", err)
	}
	defer os.RemoveAll(dir)
	db, err := pebble.Open(dir, &pebble.Options{MemTableSize: commitMemtable, Logger: silent{}})
	if err != nil {
		return result, fmt.Errorf("benchmark: %w", err)
	}
	values := filling(0)
	latencies := newRecorder()
	sampler := sampler{to: latencies}
	commits, began := uint64(0), time.Now()
	var spent, last time.Duration
	for spent < r.duration && ctx.Err() == nil && err == nil {
		err = r.commit(db, commits*uint64(r.records), values)
		commits++
		last, spent = spent, time.Since(began)
		sampler.add(int64(spent - last))
	}
	sampler.flush()
	seconds := spent.Seconds()
	if closed := db.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return result, fmt.Errorf("benchmark: commit: %w", err)
	}
	return commitResult{
		records: float64(commits) * float64(r.records) / seconds,
		commits: float64(commits) / seconds,
		latency: latencies.summary(),
	}, nil
}

// commit writes one batch; its keys rise from the one after key.
func (r commitRun) commit(db *pebble.DB, key uint64, values filling) error {
	batch := db.NewBatch()
	defer batch.Close()
	for range r.records {
		key++
		op := batch.SetDeferred(8, r.size)
		binary.BigEndian.PutUint64(op.Key, key)
		values.fill(op.Value, key)
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return batch.Commit(pebble.Sync)
}

// silent drops what Pebble has to say; errors come back from its methods.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("benchmark: pebble: "+format, args...))
}
