//go:build cluster

package view_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"gannet/internal/chain"
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
			for _, size := range []int{1, 8, 32, 385} {
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
	for b.Loop() {
		next <- 1
	}
	close(next)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "scripts/s")
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "messages/s")
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
