package rpc

import (
	"fmt"
	"sync"
	"testing"

	"gannet/internal/hop"
)

// BenchmarkForward is how many frames of 128-byte messages a second go to a logic node
// that acks at once and back, with a batch under way for each of 4 lanes. A client and a
// server in one process share its cores.
//
//	go test -bench Forward -benchmem ./idl/rpc
func BenchmarkForward(b *testing.B) {
	for _, batch := range []int{1, 32, 128} {
		b.Run(fmt.Sprint("batch-", batch), func(b *testing.B) {
			st := newLogicStage(b)
			st.discards = true
			const lanes = 4
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for lane := range lanes {
				all.Go(func() {
					forward := batchOf(batch, 128)
					forward.Queue = lane
					for range (b.N + lanes*batch - 1) / (lanes * batch) {
						if a, err := st.client.Forward(b.Context(), forward); err != nil || a.Len() != batch {
							b.Errorf("%d answers, %v", a.Len(), err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkPush is the same for pushes, each frame to one connection, with one push under
// way.
func BenchmarkPush(b *testing.B) {
	for _, batch := range []int{1, 32, 128} {
		b.Run(fmt.Sprint("batch-", batch), func(b *testing.B) {
			st := newGatewayStage(b)
			frames := batchOf(batch, 128)
			push := &hop.Push{Blob: frames.Frames, Conns: frames.Conns}
			for i := range batch {
				push.Frames = append(push.Frames, hop.Span{Start: frames.Ends[i] - frames.Ends[0], End: frames.Ends[i]})
				push.Receivers = append(push.Receivers, hop.Span{Start: uint32(i), End: uint32(i + 1)})
			}
			st.discards = true
			b.ReportAllocs()
			b.ResetTimer()
			answered := make(chan error)
			for range (b.N + batch - 1) / batch {
				st.client.Push(b.Context(), self, []*hop.Push{push}, func(_ []uint64, err error) { answered <- err })
				if err := <-answered; err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}
