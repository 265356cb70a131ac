//go:build cluster

package command

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/protocol"
)

// ourCluster gives the flags of a cluster of this test alone.
func ourCluster(t *testing.T) clusterFlags {
	t.Helper()
	f := clusterFlags{Cluster: "t" + strings.ToLower(rand.Text()[:12]), Redis: []string{servicestest.Redis(t)}}
	t.Cleanup(func() {
		client, err := f.redisClient()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		keys, err := client.Keys(context.Background(), "*"+f.Cluster+"*").Result()
		if err == nil && len(keys) > 0 {
			err = client.Del(context.Background(), keys...).Err()
		}
		if err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestWhere(t *testing.T) {
	f := ourCluster(t)
	ctx := t.Context()
	l, err := f.openLive(ctx, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	var out strings.Builder
	if err := l.printNodes(ctx, &out); err != errNobody {
		t.Errorf("of an empty cluster: %v, %q", err, out.String())
	}
	own, err := l.registry.Register(ctx, registry.Node{ID: 7, Role: registry.Gateway, Addresses: map[string]string{"rpc": "127.0.0.1:1234", "clients": "127.0.0.1:7420"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.registry.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.printUser(ctx, &out, 5); err == nil || !strings.Contains(err.Error(), "user 5 is not connected") {
		t.Errorf("of a user who is not there: %v", err)
	}
	numbers, err := l.directory.Draw(ctx, []uint64{5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.directory.Bind(ctx, []directory.Bind{{User: 5, Device: 77, Platform: protocol.PlatformBot, Number: numbers[0], At: hop.Address{Gateway: own.Epoch(), Conn: 0x99}}}, nil); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := l.printUser(ctx, &out, 5); err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(fmt.Sprintf(`(?m)^77 +bot +%x +127\.0\.0\.1:7420 +99$`, own.Epoch())); !want.MatchString(out.String()) {
		t.Errorf("of the user it says\n%s", &out)
	}
	out.Reset()
	if err := l.printNodes(ctx, &out); err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(fmt.Sprintf(`(?m)^gateway +%x +serving .* 127\.0\.0\.1:1234 +127\.0\.0\.1:7420 +\d+$`, own.Epoch())); !want.MatchString(out.String()) || !strings.Contains(out.String(), "1 users with 1 devices") {
		t.Errorf("of the nodes it says\n%s", &out)
	}
}

// TestWarnOfFlush: a node warns of a broker that does not say how it flushes, and not of one
// that flushes before it acknowledges.
func TestWarnOfFlush(t *testing.T) {
	f := queueFlags{Rocketmq: []string{servicestest.RocketMQ(t)}}
	good, _ := servicestest.Broker(t, f.Rocketmq[0])
	var said strings.Builder
	f.warnOfFlush(t.Context(), []string{good, "nobody"}, slog.New(slog.NewTextHandler(&said, nil)))
	if log := said.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "broker=nobody") {
		t.Errorf("of two brokers, of which one is good, it says\n%s", log)
	}
}

// TestNodeThatIsNotReached: it does not start, and Redis does not hear of it.
func TestNodeThatIsNotReached(t *testing.T) {
	f := nodeFlags{RPCListen: "127.0.0.1:0", RPCAdvertise: "127.0.0.1:9", clusterFlags: ourCluster(t)}
	n, err := f.open(t.Context(), registry.Logic, slog.Default())
	if err == nil || !strings.Contains(err.Error(), "nobody answers at 127.0.0.1:9") {
		t.Errorf("a node that nobody reaches starts with %v", err)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}
