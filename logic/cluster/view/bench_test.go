//go:build cluster

package view_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"gannet/internal/chain"
	"gannet/internal/redis"
	"gannet/internal/redis/redistest"
	"gannet/logic"
	"gannet/logic/cluster/view"
	"gannet/protocol"
)

// BenchmarkForward takes records into a view whose conversations are there, each with one
// message of 128 bytes to as many conversations as it has messages, by several queues at
// once.
func BenchmarkForward(b *testing.B) {
	redistest.EachBench(b, func(b *testing.B, addresses []string) {
		for _, queues := range []int{1, 4} {
			for _, size := range []int{1, 4, 32, 385} {
				b.Run(fmt.Sprintf("%d queues, %d messages", queues, size), func(b *testing.B) { benchForward(b, addresses, queues, size) })
			}
		}
	})
}

func benchForward(b *testing.B, addresses []string, queues, size int) {
	client := newClient(b, addresses)
	v, err := view.New(client, view.Options{Name: redistest.Prefix(b, addresses...), Queues: queuesOf(queues), Counts: newMemory()})
	must(b, err)
	peers := make([]uint64, size)
	for i := range peers {
		peers[i] = uint64(i + 2)
	}
	body := string(make([]byte, 128))
	var writers []*view.Writer
	for _, q := range queuesOf(queues) {
		w, err := v.Writer(q)
		must(b, err)
		must(b, w.Confirm(b.Context()))
		must(b, w.Forward(b.Context(), markOf(1, 1), said(1, body, peers...)))
		writers = append(writers, w)
	}
	change := said(2, body, peers...)
	next := make(chan uint64)
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Go(func() {
			number := uint64(1)
			for range next {
				number++
				if err := w.Forward(context.Background(), markOf(1, number), change); err != nil {
					b.Error(err)
				}
			}
		})
	}
	redis, here := spentBy(b, client), spentHere(b)
	for b.Loop() {
		next <- 1
	}
	close(next)
	wg.Wait()
	n := float64(b.N)
	b.ReportMetric((spentBy(b, client)-redis)/n, "redis-µs/script")
	b.ReportMetric((spentHere(b)-here)/n, "go-µs/script")
	b.ReportMetric(n*float64(size)/b.Elapsed().Seconds(), "messages/s")
}

// spentBy gives the time, in µs, for which the masters had a core: on a machine that others
// use too, time by the clock says little.
func spentBy(b *testing.B, client *redis.Client) (us float64) {
	each := func(ctx context.Context, server *goredis.Client) error {
		text, err := server.Info(ctx, "cpu").Result()
		if err != nil {
			return err
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if name == "used_cpu_user_main_thread" || name == "used_cpu_sys_main_thread" {
				seconds, err := strconv.ParseFloat(value, 64)
				if err != nil {
					return err
				}
				us += seconds * 1e6
			}
		}
		return nil
	}
	if cluster, ok := client.UniversalClient.(*goredis.ClusterClient); ok {
		var mu sync.Mutex
		must(b, cluster.ForEachMaster(b.Context(), func(ctx context.Context, server *goredis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			return each(ctx, server)
		}))
	} else {
		must(b, each(b.Context(), client.UniversalClient.(*goredis.Client)))
	}
	if us == 0 {
		b.Fatal("Redis does not say for how long it had a core")
	}
	return us
}

// spentHere is spentBy for this process.
func spentHere(b *testing.B) (us float64) {
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e3
}

// BenchmarkChanged reads the inbox of a user with 40 conversations over 4 queues.
func BenchmarkChanged(b *testing.B) {
	redistest.EachBench(b, func(b *testing.B, addresses []string) {
		v, err := view.New(newClient(b, addresses), view.Options{Name: redistest.Prefix(b, addresses...), Queues: queuesOf(4), Counts: newMemory()})
		must(b, err)
		for i := range 4 {
			w, err := v.Writer(chain.Queue{Class: chain.Chat, Number: i})
			must(b, err)
			must(b, w.Confirm(b.Context()))
			var peers []uint64
			for peer := range uint64(10) {
				peers = append(peers, 2+uint64(i)*10+peer)
			}
			must(b, w.Forward(b.Context(), markOf(1, 1), said(1, "hello", peers...)))
		}
		for _, all := range []bool{true, false} {
			b.Run(map[bool]string{true: "all", false: "nothing changed"}[all], func(b *testing.B) {
				q := logic.InboxQuery{User: 1, Device: 5, Limit: protocol.MaxPage, Room: 1 << 20}
				want := 40
				if !all {
					page, err := v.Changed(b.Context(), q)
					must(b, err)
					q.Since, want = page.Next, 0
				}
				for b.Loop() {
					page, err := v.Changed(b.Context(), q)
					if err != nil || len(page.States) != want {
						b.Fatalf("%d conversations, %v", len(page.States), err)
					}
				}
			})
		}
	})
}
