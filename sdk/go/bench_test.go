package gannet

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gannet/protocol"
)

// peerConn is the server's end of a loopback connection whose client is logged
// in: the smallest server that is fast enough to measure the client against.
func peerConn(t testing.TB, opts ...Option) (*Client, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			close(accepted)
			return
		}
		readFrame(t, conn) // HELLO
		conn.Write(protocol.Welcome{Version: 1, User: 1, Heartbeat: 300, MaxUnacked: protocol.MaxUnacked}.AppendFrame(nil, 1))
		f := readFrame(t, conn) // SYNC
		page := protocol.Synced{Next: 1}
		conn.Write(page.Finish(page.AppendFrame(nil, f.Request), 0))
		accepted <- conn
	}()
	c, err := Dial(context.Background(), ln.Addr().String(), "x", opts...)
	if err != nil {
		t.Fatal(err)
	}
	conn := <-accepted
	t.Cleanup(func() {
		conn.Close()
		crash(c)
	})
	return c, conn
}

func readFrame(t testing.TB, conn net.Conn) protocol.Frame {
	head := make([]byte, protocol.HeaderSize)
	if _, err := io.ReadFull(conn, head); err != nil {
		t.Error(err)
		return protocol.Frame{}
	}
	length := binary.BigEndian.Uint32(head)
	frame := append(head, make([]byte, int(length)+4-len(head))...)
	io.ReadFull(conn, frame[len(head):])
	f, _, err := protocol.Split(frame, protocol.MaxFrame)
	if err != nil {
		t.Error(err)
	}
	return f
}

// pushes encodes n messages from seq on.
func pushes(dst []byte, seq uint64, n int) []byte {
	body := make([]byte, 128)
	for i := range n {
		dst = protocol.Message{
			Target: User(1).wire(), Seq: seq + uint64(i), Time: 1, Sender: 2, Device: 3,
			ClientID: seq, Content: protocol.ContentText, Body: body,
		}.AppendFrame(dst)
	}
	return dst
}

// BenchmarkReceive measures a message of 128 bytes from the socket to the hook,
// for different numbers of messages to a write.
func BenchmarkReceive(b *testing.B) {
	for _, batch := range []int{1, 16, 128} {
		b.Run("batch="+strconv.Itoa(batch), func(b *testing.B) {
			var received atomic.Int64
			done := make(chan struct{})
			_, conn := peerConn(b, WithHandler(Handler{Message: func(context.Context, *Client, Message) error {
				if received.Add(1) == int64(b.N) {
					close(done)
				}
				return nil
			}}))
			var wg sync.WaitGroup
			var sent atomic.Int64
			wg.Go(func() { historian(conn, &sent) })
			b.ReportAllocs()
			b.ResetTimer()
			began := cpuTime()
			wg.Go(func() {
				var buf []byte
				for seq := 1; seq <= b.N; seq += batch {
					buf = pushes(buf[:0], uint64(seq), min(batch, b.N-seq+1))
					sent.Store(int64(min(seq+batch-1, b.N)))
					conn.Write(buf)
				}
			})
			<-done
			b.StopTimer()
			reportCPU(b, began)
			conn.Close()
			wg.Wait()
		})
	}
}

// cpuTime gives what the process has used, the peer included: on a machine that others use
// too it says more than the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func reportCPU(b *testing.B, began time.Duration) {
	b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op")
}

// historian answers HISTORY, which a client asks for whose app was not scheduled for
// a while, until the connection ends.
func historian(conn net.Conn, sent *atomic.Int64) {
	var in input
	in.reset()
	defer in.release()
	for in.read(conn) == nil {
		for {
			f, n, err := protocol.Split(in.data, protocol.MaxFrame)
			if n == 0 || err != nil {
				break
			}
			in.data = in.data[n:]
			var ask protocol.History
			if f.Type != protocol.TypeHistory || ask.Decode(f.Payload) != nil {
				continue
			}
			head := uint64(sent.Load())
			page := protocol.Messages{Target: ask.Target, First: ask.Seq, Last: min(head, ask.Seq+uint64(ask.Limit)-1), Head: head}
			frame := page.AppendFrame(nil, f.Request)
			for seq := page.First; seq <= page.Last; seq++ {
				m := pushes(nil, seq, 1)
				frame = protocol.AppendMessage(frame, m[protocol.HeaderSize:])
				page.Count++
			}
			conn.Write(page.Finish(frame, 0))
		}
	}
}

// acker answers SENDs as they come, until the connection ends.
func acker(conn net.Conn) {
	var in input
	in.reset()
	defer in.release()
	var out []byte
	for seq := uint64(0); in.read(conn) == nil; {
		out = out[:0]
		for {
			f, n, err := protocol.Split(in.data, protocol.MaxFrame)
			if n == 0 || err != nil {
				break
			}
			in.data = in.data[n:]
			if f.Type == protocol.TypeSend {
				seq++
				id := binary.BigEndian.Uint64(f.Payload[9:])
				out = protocol.SendAck{ClientID: id, Seq: seq, Time: 1}.AppendFrame(out, f.Request)
			}
		}
		conn.Write(out)
	}
}

// BenchmarkSend measures a message of 128 bytes from Post to its outcome, for
// different windows, the outcomes sending the next ones.
func BenchmarkSend(b *testing.B) {
	for _, window := range []int{1, 32, 256} {
		b.Run("window="+strconv.Itoa(window), func(b *testing.B) {
			draft := Draft{Content: ContentText, Body: make([]byte, 128)}
			done := make(chan struct{})
			var taken, acked atomic.Int64
			send := func(ctx context.Context, c *Client) {
				if taken.Add(1) <= int64(b.N) {
					if _, err := c.Post(ctx, User(2), draft); err != nil {
						b.Error(err)
					}
				}
			}
			c, conn := peerConn(b, WithWindow(window), WithHandler(Handler{
				Message: func(context.Context, *Client, Message) error { return nil },
				Outcome: func(ctx context.Context, c *Client, _ Outcome) {
					if acked.Add(1) == int64(b.N) {
						close(done)
					}
					send(ctx, c)
				},
			}))
			var wg sync.WaitGroup
			wg.Go(func() { acker(conn) })
			b.ReportAllocs()
			b.ResetTimer()
			began := cpuTime()
			for range window {
				send(b.Context(), c)
			}
			<-done
			b.StopTimer()
			reportCPU(b, began)
			conn.Close()
			wg.Wait()
		})
	}
}

// BenchmarkSendAndWait measures Send from many goroutines.
func BenchmarkSendAndWait(b *testing.B) {
	c, conn := peerConn(b, WithHandler(Handler{Message: func(context.Context, *Client, Message) error { return nil }}))
	var wg sync.WaitGroup
	wg.Go(func() { acker(conn) })
	draft := Draft{Content: ContentText, Body: make([]byte, 128)}
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Send(context.Background(), User(2), draft); err != nil {
				b.Error(err)
			}
		}
	})
	conn.Close()
	wg.Wait()
}

// TestReceivingAllocatesPerRead holds the budget of the hot path: what arrives
// with one read costs a few allocations however many messages it is.
func TestReceivingAllocatesPerRead(t *testing.T) {
	received := make(chan struct{})
	var count, want int
	c, conn := peerConn(t, WithHandler(Handler{Message: func(context.Context, *Client, Message) error {
		if count++; count == want {
			received <- struct{}{}
		}
		return nil
	}}))
	const batch, rounds = 8, 200 // a batch fits one read
	var frames [][]byte
	for i := range rounds + 1 {
		frames = append(frames, pushes(nil, uint64(1+i*batch), batch))
	}
	round := 0
	allocated := testing.AllocsPerRun(rounds, func() {
		want += batch
		conn.Write(frames[round])
		<-received
		round++
	})
	if allocated > 4 {
		t.Errorf("%.1f allocations for a read of %d messages", allocated, batch)
	}
	if c.State() != StateOnline {
		t.Error(c.State())
	}
}
