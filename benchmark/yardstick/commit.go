package yardstick

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gannet/benchmark/meter"
)

// CommitRun is one measurement of the commit limit: one writer that gives
// Pebble batch after batch, each durable before the next.
type CommitRun struct {
	Dir      string // where the temporary folder of the store goes
	Records  int    // in a batch
	Size     int    // of a record, in bytes
	Duration time.Duration
}

// CommitResult is what a CommitRun saw.
type CommitResult struct {
	Records float64       // per second
	Commits float64       // per second
	Latency meter.Latency // of a commit
}

// Run measures.
func (r CommitRun) Run(ctx context.Context) (result CommitResult, err error) {
	dir, err := os.MkdirTemp(r.Dir, "gannet-commit-")
	if err != nil {
		return result, fmt.Errorf("benchmark: %w", err)
	}
	defer os.RemoveAll(dir)
	db, err := OpenStore(dir, StoreMemtable)
	if err != nil {
		return result, err
	}
	values := rand.NewChaCha8([32]byte{}) // nothing is gained by compressing them
	latencies := meter.NewRecorder()
	sampler := latencies.Sampler()
	commits, began := uint64(0), time.Now()
	var spent, last time.Duration
	for spent < r.Duration && ctx.Err() == nil && err == nil {
		err = r.commit(db, commits*uint64(r.Records), values)
		commits++
		last, spent = spent, time.Since(began)
		sampler.Add(int64(spent - last))
	}
	sampler.Flush()
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
	return CommitResult{
		Records: float64(commits) * float64(r.Records) / seconds,
		Commits: float64(commits) / seconds,
		Latency: latencies.Summary(),
	}, nil
}

// commit writes one batch; its keys rise from the one after key.
func (r CommitRun) commit(db *pebble.DB, key uint64, values *rand.ChaCha8) error {
	batch := db.NewBatch()
	defer batch.Close()
	for range r.Records {
		key++
		op := batch.SetDeferred(8, r.Size)
		binary.BigEndian.PutUint64(op.Key, key)
		_, _ = values.Read(op.Value) // never fails
		if err := op.Finish(); err != nil {
			return err
		}
	}
	return batch.Commit(pebble.Sync)
}
