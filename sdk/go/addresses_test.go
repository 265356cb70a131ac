package gannet

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gannet/protocol"
)

// slowly answers HELLO after a time, and reads for the life of the connection.
func slowly(conn net.Conn, after time.Duration) {
	welcome := time.AfterFunc(after, func() {
		_, _ = conn.Write(protocol.Welcome{Version: protocol.Version, User: 1}.AppendFrame(nil, 1))
	})
	defer welcome.Stop()
	_, _ = io.Copy(io.Discard, conn)
	conn.Close()
}

// An address behind which nobody answers, or only the kernel does, keeps nobody from
// the others for long; and a server that is only slow is waited for in the end.
func TestAnAddressThatDoesNotAnswerHoldsUpTheNextOneForAShareOnly(t *testing.T) {
	const never = time.Hour
	answers := map[string]time.Duration{"good": 0, "slow": 4 * time.Second, "hung": never}
	for _, c := range []struct {
		addresses     string
		limit, within time.Duration
		fails         bool
	}{
		{"hole good", 5 * time.Second, 3 * time.Second, false},
		{"hung good", 5 * time.Second, 3 * time.Second, false},
		{"hung hole hole good", 5 * time.Second, 5 * time.Second, false},
		{"hole hung good", never, 7 * time.Second, false},
		{"slow slow", never, 11 * time.Second, false},
		{"slow", 5 * time.Second, 5 * time.Second, false}, // there is no other
		{"hole hung", 5 * time.Second, 5 * time.Second, true},
	} {
		t.Run(c.addresses, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, err := New("127.0.0.1:1", "x", WithDialer(func(ctx context.Context, _, addr string) (net.Conn, error) {
					after, there := answers[addr]
					if !there {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					near, far := net.Pipe()
					go slowly(far, after)
					return near, nil
				}))
				if err != nil {
					t.Fatal(err)
				}
				client.addrs = strings.Fields(c.addresses) // in this order
				ctx, cancel := context.WithTimeout(t.Context(), c.limit)
				defer cancel()
				began := time.Now()
				err = client.Connect(ctx)
				if took := time.Since(began); (err != nil) != c.fails || took > c.within {
					t.Errorf("after %v: %v", took, err)
				}
				done, stop := context.WithCancel(t.Context())
				stop()
				_ = client.Close(done)
			})
		})
	}
}
