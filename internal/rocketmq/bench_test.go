//go:build cluster

package rocketmq

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/internal/chain"
)

// writers makes one for each queue that has it.
func writers(b *testing.B, c *Client, n int) (all []*chain.Writer) {
	for _, queue := range queues(n) {
		w := chain.NewWriter(chain.Options{Stream: c, Queue: queue, Registry: func() uint64 { return 1 }, Take: func(*chain.Record) error { return nil }}, chain.Beginning)
		if _, err := w.TakeOver(b.Context()); err != nil {
			b.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

// BenchmarkAppend is one record in flight in each queue.
func BenchmarkAppend(b *testing.B) {
	address := server(b)
	for _, size := range []int{5 << 10, 64 << 10} {
		for _, n := range []int{1, 4, 16} {
			b.Run(fmt.Sprintf("%dKiB/%dqueues", size>>10, n), func(b *testing.B) {
				all := writers(b, open(b, address, topic(b, address, n)), n)
				body := make([]byte, size-chain.HeadSize)
				each := make([][]time.Duration, n)
				b.SetBytes(int64(size))
				b.ResetTimer()
				var running sync.WaitGroup
				for i, w := range all {
					running.Go(func() {
						for range b.N/n + 1 {
							began := time.Now()
							if _, err := w.Append(context.Background(), body); err != nil {
								b.Error(err)
								return
							}
							each[i] = append(each[i], time.Since(began))
						}
					})
				}
				running.Wait()
				b.StopTimer()
				times := slices.Sorted(slices.Values(slices.Concat(each...)))
				if len(times) < b.N {
					b.Fatalf("%d of %d records were appended", len(times), b.N)
				}
				b.ReportMetric(float64(len(times))/b.Elapsed().Seconds(), "records/s")
				b.ReportMetric(times[len(times)/2].Seconds()*1000, "p50-ms")
				b.ReportMetric(times[len(times)*99/100].Seconds()*1000, "p99-ms")
			})
		}
	}
}

// BenchmarkTakeOver is a queue that changes hands, with so many records to replay.
func BenchmarkTakeOver(b *testing.B) {
	address := server(b)
	for _, records := range []int{0, 100, 1000} {
		b.Run(fmt.Sprintf("%drecords", records), func(b *testing.B) {
			c := open(b, address, topic(b, address, 1))
			from := writers(b, c, 1)[0]
			mark := from.Last()
			for range records {
				if _, err := from.Append(b.Context(), make([]byte, 5<<10)); err != nil {
					b.Fatal(err)
				}
			}
			if records == 0 {
				mark = from.Last()
			}
			for b.Loop() {
				took := 0
				w := chain.NewWriter(chain.Options{Stream: c, Queue: queues(1)[0], Registry: func() uint64 { return 1 }, Take: func(r *chain.Record) error {
					if r.Kind == chain.Entries {
						took++
					}
					return nil
				}}, mark)
				if _, err := w.TakeOver(b.Context()); err != nil || took != records {
					b.Fatalf("%d records were replayed (%v)", took, err)
				}
				if records == 0 {
					mark = w.Last()
				}
			}
		})
	}
}

// BenchmarkFollow is how long a record takes from its sending to a reader that waits.
func BenchmarkFollow(b *testing.B) {
	address := server(b)
	c := open(b, address, topic(b, address, 1))
	w := writers(b, c, 1)[0]
	r := chain.NewReader(c, queues(1)[0], chain.Beginning)
	came := make(chan time.Time, 1)
	go func() {
		for b.Context().Err() == nil {
			r.Read(b.Context(), func(record *chain.Record) error {
				if record.Kind == chain.Entries {
					came <- time.Now()
				}
				return nil
			})
		}
	}()
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := w.Append(b.Context(), make([]byte, 1000)); err != nil {
			b.Fatal(err)
		}
		times = append(times, (<-came).Sub(began))
	}
	slices.Sort(times)
	b.ReportMetric(times[len(times)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(times[len(times)*99/100].Seconds()*1000, "p99-ms")
}
