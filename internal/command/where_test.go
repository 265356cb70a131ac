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

func TestConfigCheckSaysWhoDoesNotAnswer(t *testing.T) {
	dead := "127.0.0.1:1"
	all := configCheckCmd{clusterFlags: ourCluster(t), queueFlags: queueFlags{Rocketmq: []string{servicestest.RocketMQ(t)}}, historyFlags: historyFlags{Clickhouse: []string{servicestest.ClickHouse(t)}}}
	var out strings.Builder
	if err := all.check(t.Context(), &out); err != nil || strings.Count(out.String(), " ok\n") != 4 || !strings.Contains(out.String(), "broker ") {
		t.Errorf("%v; where all is well it says\n%s", err, &out)
	}
	for _, c := range []struct {
		wrong configCheckCmd
		says  *regexp.Regexp
	}{
		{configCheckCmd{clusterFlags{Cluster: all.Cluster, Redis: []string{dead}}, all.queueFlags, all.historyFlags}, regexp.MustCompile(`redis +127.0.0.1:1 .*refused`)},
		{configCheckCmd{all.clusterFlags, queueFlags{[]string{dead}}, all.historyFlags}, regexp.MustCompile(`name server +127.0.0.1:1 .*refused`)},
		{configCheckCmd{all.clusterFlags, queueFlags{[]string{"nowhere"}}, all.historyFlags}, regexp.MustCompile(`name server +nowhere .*no address`)},
		{configCheckCmd{all.clusterFlags, queueFlags{[]string{all.Redis[0]}}, all.historyFlags}, regexp.MustCompile(`name server +` + all.Redis[0] + ` +rocketmq: `)}, // which does not speak so
		{configCheckCmd{all.clusterFlags, all.queueFlags, historyFlags{Clickhouse: []string{dead}}}, regexp.MustCompile(`clickhouse +127.0.0.1:1 .*refused`)},
	} {
		out.Reset()
		if err := c.wrong.check(t.Context(), &out); err != errServers || !c.says.MatchString(out.String()) {
			t.Errorf("%v, and not %v:\n%s", err, c.says, &out)
		}
	}
}
