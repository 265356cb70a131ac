package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"gannet/benchmark/meter"
	"gannet/benchmark/yardstick/pipeline/kitex_gen/hop"
)

// LimitRun measures one part of a pipeline by itself: as many callers as there are queues,
// each with one call under way.
type LimitRun struct {
	Redis, Rocketmq, Broker string // addresses

	Queues   int
	Messages int // of a record, a script, a call
	Size     int // bytes of a message
	Duration time.Duration
}

// LimitResult is what a LimitRun saw.
type LimitResult struct {
	Calls   float64 // per second
	Latency meter.Latency
}

// Records appends records to queues of a topic of their own.
func (l LimitRun) Records(ctx context.Context) (LimitResult, error) {
	p := &Process{
		Role: "limit", Queues: l.Queues, Rocketmq: l.Rocketmq, Broker: l.Broker,
		Topic: fmt.Sprintf("limit%x", rand.Uint64()),
	}
	if err := p.makeTopic(ctx); err != nil {
		return LimitResult{}, err
	}
	r, err := p.open(ctx, false)
	if err != nil {
		return LimitResult{}, err
	}
	defer func() { _ = r.producer.Shutdown() }() // nothing is under way any more
	body := make([]byte, l.Messages*l.Size)
	return l.run(ctx, func(ctx context.Context, q int) error {
		_, err := r.send(ctx, q, body)
		return err
	})
}

// Scripts brings a mark and the heads of as many conversations forward as there are
// messages.
func (l LimitRun) Scripts(ctx context.Context) (LimitResult, error) {
	db := redis.NewClient(&redis.Options{Addr: l.Redis, PoolSize: l.Queues, MaxRetries: -1, DisableIdentity: true})
	defer db.Close()
	if err := script.Load(ctx, db).Err(); err != nil {
		return LimitResult{}, fmt.Errorf("benchmark: Redis: %w", err)
	}
	run := rand.Uint64()
	keys := func(q int) []string {
		key := fmt.Sprintf("limit%x:{%d}:", run, q)
		return []string{key + "heads", key + "mark"}
	}
	marks := make([]int64, l.Queues)
	result, err := l.run(ctx, func(ctx context.Context, q int) error {
		args := []any{strconv.FormatInt(marks[q], 10), strconv.FormatInt(marks[q]+1, 10)}
		for i := range l.Messages {
			args = append(args, binary.BigEndian.AppendUint64(nil, uint64(i)), strconv.FormatInt(marks[q], 10))
		}
		done, err := script.EvalSha(ctx, db, keys(q), args...).Int()
		if err == nil && done != 1 {
			err = errors.New("benchmark: the script did nothing")
		}
		marks[q]++
		return err
	})
	for q := range l.Queues {
		err = errors.Join(err, db.Del(context.WithoutCancel(ctx), keys(q)...).Err())
	}
	return result, err
}

// Passes calls a server in this process, which answers with what it got.
func (l LimitRun) Passes(ctx context.Context) (LimitResult, error) {
	address, stop, err := calls(new(mirror), make(chan error, 1))
	if err != nil {
		return LimitResult{}, err
	}
	defer func() { _ = stop() }() // nothing is under way any more
	to, err := peer(address)
	if err != nil {
		return LimitResult{}, err
	}
	b, frame := hop.NewBatch(), make([]byte, l.Size)
	for i := range l.Messages {
		add(b, uint64(i), frame)
	}
	return l.run(ctx, func(ctx context.Context, _ int) error {
		got, err := to.Pass(ctx, b)
		if err == nil && len(got.Ends) != l.Messages {
			err = fmt.Errorf("benchmark: %d frames came back of %d", len(got.Ends), l.Messages)
		}
		return err
	})
}

type mirror struct{}

func (*mirror) Pass(_ context.Context, b *hop.Batch) (*hop.Batch, error) { return b, nil }

// run has each queue call again and again.
func (l LimitRun) run(ctx context.Context, call func(ctx context.Context, q int) error) (LimitResult, error) {
	latencies := meter.NewRecorder()
	counts, errs := make([]int, l.Queues), make([]error, l.Queues)
	began := time.Now()
	var callers sync.WaitGroup
	for q := range l.Queues {
		callers.Go(func() {
			sampler := latencies.Sampler()
			defer sampler.Flush()
			for time.Since(began) < l.Duration && errs[q] == nil && ctx.Err() == nil {
				start := time.Now()
				errs[q] = call(ctx, q)
				sampler.Add(int64(time.Since(start)))
				counts[q]++
			}
		})
	}
	callers.Wait()
	seconds, all := time.Since(began).Seconds(), 0
	for _, n := range counts {
		all += n
	}
	if err := errors.Join(errs...); err != nil {
		return LimitResult{}, err
	}
	return LimitResult{Calls: float64(all) / seconds, Latency: latencies.Summary()}, ctx.Err()
}
