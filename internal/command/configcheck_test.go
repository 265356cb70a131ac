//go:build cluster

package command

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"gannet/internal/cluster"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/services/servicestest"
)

// TestConfigCheckSaysWhoDoesNotAnswer: of Redis, RocketMQ and ClickHouse it says which answer,
// and why others cannot be worked with.
func TestConfigCheckSaysWhoDoesNotAnswer(t *testing.T) {
	f := ourCluster(t)
	settings := fmt.Sprintf("cluster = %q\nredis = [%q]\nrocketmq = [%q]\nclickhouse = [%q]\n", f.Cluster, f.Redis[0], servicestest.RocketMQ(t), servicestest.ClickHouse(t))
	if out, err := checked(t, settings, nil); err != nil || strings.Count(out, " ok\n") != 7 || !strings.Contains(out, "broker ") {
		t.Errorf("%v; where all is well it says\n%s", err, out)
	}
	for _, c := range []struct{ flag, address, says string }{
		{"redis", "127.0.0.1:1", `redis +127.0.0.1:1 .*refused`},
		{"rocketmq", "127.0.0.1:1", `name server +127.0.0.1:1 .*refused`},
		{"rocketmq", "nowhere", `settings of logic .*nowhere.* is no address`},
		{"rocketmq", f.Redis[0], `name server +` + f.Redis[0] + ` +rocketmq: .*takes connections .* be no name server`}, // which does not speak so
		{"rocketmq", servicestest.ClickHouse(t), `name server +.* be no name server`},
		{"clickhouse", f.Redis[0], `clickhouse +` + f.Redis[0] + ` .*ClickHouse`},
		{"clickhouse", servicestest.RocketMQ(t), `clickhouse .*ClickHouse`},
		{"clickhouse", "127.0.0.1:1", `clickhouse +127.0.0.1:1 .*refused`},
	} {
		if out, err := checked(t, settings, map[string]string{c.flag: c.address}); err != errServers || !regexp.MustCompile(c.says).MatchString(out) {
			t.Errorf("%v, and not %v:\n%s", err, c.says, out)
		}
	}
}

// TestConfigCheckWarnsOfRedisWithoutAOF: it can be worked with, and the check goes well.
func TestConfigCheckWarnsOfRedisWithoutAOF(t *testing.T) {
	redis := servicestest.OwnRedis(t, "--appendonly", "no", "--rename-command", "CONFIG", "")
	settings := fmt.Sprintf("redis = [%q]\nrocketmq = [%q]\nclickhouse = [%q]\n", redis.Address, servicestest.RocketMQ(t), servicestest.ClickHouse(t))
	out, err := checked(t, settings, nil)
	if err != nil || !regexp.MustCompile(`redis +`+redis.Address+` +ok\nredis +`+redis.Address+` +warning: .*appendonly yes`).MatchString(out) {
		t.Errorf("%v:\n%s", err, out)
	}
}

// TestConfigCheckLooksForTopics: where there is a plan, its topics are to be on their brokers.
func TestConfigCheckLooksForTopics(t *testing.T) {
	f := ourCluster(t)
	servers := []string{servicestest.RocketMQ(t)}
	broker, _ := servicestest.Broker(t, servers[0])
	plan, err := cluster.New(f.Cluster, 2, []string{broker})
	if err != nil {
		t.Fatal(err)
	}
	here := servicestest.Topic(t, servers[0], 2)
	for i := range plan.Chat {
		plan.Chat[i].Topic = here
	}
	for i := range plan.System {
		plan.System[i].Topic = here
		plan.System[i].Queue = 2 + i // of which the broker has none
	}
	client, err := f.redisClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	save := func() {
		if err := client.Del(t.Context(), f.Cluster+":plan").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := (clusterredis.Copy{Client: client, Name: f.Cluster}).Save(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
	}
	settings := fmt.Sprintf("cluster = %q\nredis = [%q]\nrocketmq = [%q]\nclickhouse = [%q]\n", f.Cluster, f.Redis[0], servers[0], servicestest.ClickHouse(t))
	wants := func(says string, wanted error) {
		t.Helper()
		save()
		if out, err := checked(t, settings, nil); err != wanted || !regexp.MustCompile(says).MatchString(out) {
			t.Errorf("%v, not %s:\n%s", err, says, out)
		}
	}
	wants(`topic `+here+` +broker `+broker+` .*has 2 of the 4 queues of topic .*.*gannet mend --accept-loss`, errServers)
	for i := range plan.System {
		plan.System[i].Topic, plan.System[i].Queue = f.Cluster+"_system", i
	}
	wants(`topic `+f.Cluster+`_system +broker `+broker+` .*has 0 of the .* queues of topic .*gannet mend --accept-loss`, errServers)
	for i := range plan.System {
		plan.System[i].Topic = servicestest.Topic(t, servers[0], 2)
	}
	wants(`topic `+here+` +broker `+broker+` +ok`, nil)
}
