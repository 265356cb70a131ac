package architecture

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

const (
	netpoll = "github.com/cloudwego/netpoll"
	pebble  = "github.com/cockroachdb/pebble/v2"
	unix    = "golang.org/x/sys/unix"
	kitex   = "github.com/cloudwego/kitex"
	thrift  = "github.com/cloudwego/gopkg"

	goRedis   = "github.com/redis/go-redis/v9"
	redisRate = "github.com/go-redis/redis_rate/v10"

	clickHouse = "github.com/ClickHouse/clickhouse-go/v2"
)

// importRules say who may import whom. A folder may import what its rule allows,
// itself with all below it that has no rule of its own, and the standard library;
// the longest matching folder's rule counts. What one folder may import, its
// subfolders with a rule may not for that reason. Tests are free.
var importRules = []struct {
	folder string
	allows []string
}{
	{"gannet", []string{"gannet/internal/command"}},
	{"gannet/protocol", nil},
	{"gannet/internal/hop", []string{"gannet/protocol"}},
	{"gannet/internal/hostport", nil},
	{"gannet/internal/operate", []string{"github.com/prometheus/client_golang/prometheus"}},
	{"gannet/internal/rocketmq", []string{"gannet/internal/chain", "gannet/internal/operate", "github.com/apache/rocketmq-client-go/v2"}},
	{"gannet/internal/services", nil},
	{"gannet/internal/mutate", nil},
	{"gannet/internal/chain/mutate", []string{"gannet/internal/mutate"}},
	{"gannet/internal/chain", []string{"gannet/protocol", "gannet/internal/hop", "gannet/internal/operate"}},
	{"gannet/internal/folder", nil},
	{"gannet/internal/token", []string{"gannet/internal/folder", "github.com/golang-jwt/jwt/v5"}},
	{"gannet/internal/directory", []string{"gannet/protocol", "gannet/internal/hop"}},
	{"gannet/internal/directory/redis", []string{
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/operate", "gannet/internal/directory", "gannet/internal/redis", "gannet/internal/registry", goRedis,
	}},
	{"gannet/internal/limiter", nil},
	{"gannet/internal/limiter/redis", []string{"gannet/internal/operate", "gannet/internal/limiter", "gannet/internal/redis", redisRate}},
	{"gannet/internal/registry", []string{"gannet/internal/operate"}},
	{"gannet/internal/registry/redis", []string{"gannet/internal/operate", "gannet/internal/registry", "gannet/internal/redis"}},
	{"gannet/internal/cluster", []string{"gannet/protocol", "gannet/internal/chain"}},
	{"gannet/internal/cluster/redis", []string{"gannet/internal/cluster", "gannet/internal/redis", goRedis}},
	{"gannet/internal/cluster/clickhouse", []string{"gannet/internal/cluster", clickHouse}},
	{"gannet/internal/redis", []string{"gannet/internal/operate", goRedis}},
	{"gannet/internal/services", nil},
	{"gannet/internal/architecture", nil},
	{"gannet/internal/endtoend", nil},
	{"gannet/internal/command", []string{"*"}}, // it alone composes

	{"gannet/gateway", []string{
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/operate", "gannet/internal/limiter",
		netpoll, "github.com/bytedance/gopkg/util/gopool", unix,
	}},
	{"gannet/gateway/cluster", []string{"gannet/internal/registry"}},
	{"gannet/logic", []string{
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/directory", "gannet/internal/token", "gannet/internal/operate",
	}},
	{"gannet/logic/ledger/mutate", []string{"gannet/internal/mutate"}},
	{"gannet/logic/ledger", []string{"gannet/protocol", "gannet/internal/hop", "gannet/logic"}},
	{"gannet/logic/embedded", []string{
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/limiter", "gannet/internal/operate", "gannet/logic", "gannet/logic/ledger", pebble, unix,
	}},
	{"gannet/logic/cluster/view", []string{
		"gannet/protocol", "gannet/internal/chain", "gannet/internal/operate", "gannet/internal/redis", "gannet/logic", "gannet/logic/ledger",
	}},
	{"gannet/logic/cluster/owner", []string{
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/chain", "gannet/internal/operate", "gannet/internal/registry",
		"gannet/logic", "gannet/logic/ledger", "gannet/logic/cluster/view",
	}},
	{"gannet/logic/cluster/history", []string{
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/chain", "gannet/internal/operate", "gannet/logic", "gannet/logic/ledger", clickHouse,
	}},
	{"gannet/transfer", []string{
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/directory", "gannet/internal/operate",
	}},
	{"gannet/transfer/embedded", []string{"gannet/protocol", "gannet/internal/hop", "gannet/transfer"}},
	{"gannet/transfer/cluster", []string{
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/directory", "gannet/internal/operate", "gannet/internal/chain",
		"gannet/internal/redis", "gannet/internal/registry", "gannet/transfer", goRedis,
	}},

	{"gannet/idl", []string{
		"gannet/idl/kitex_gen/gannet", "gannet/idl/kitex_gen/gannet/gateway", "gannet/idl/kitex_gen/gannet/logic",
		"gannet/idl/kitex_gen/gannet/transfer",
		"gannet/protocol", "gannet/internal/hop", "gannet/internal/hostport", "gannet/internal/operate", "gannet/transfer", kitex, thrift,
	}},
	{"gannet/idl/kitex_gen", []string{kitex, thrift}},

	{"gannet/sdk/go", []string{"gannet/protocol", "gannet/internal/hostport"}},
	// A module of somebody else cannot import internal/command, and its tests shall run
	// against the whole server: this package, for tests alone, is their way to it.
	{"gannet/sdk/go/gannettest", []string{"gannet/internal/command"}},
	{"gannet/sdk/go/examples", []string{"gannet/sdk/go"}},
	{"gannet/benchmark", []string{
		"gannet/benchmark/yardstick/pipeline", "gannet/sdk/go", "gannet/protocol", "github.com/HdrHistogram/hdrhistogram-go", netpoll, pebble, unix,
	}},
	// A yardstick measures the libraries that a cluster is made of, without gannet.
	{"gannet/benchmark/yardstick/pipeline", []string{
		"gannet/benchmark/meter", "gannet/benchmark/process", "gannet/benchmark/yardstick", "gannet/protocol", kitex, thrift, netpoll, goRedis,
		"github.com/apache/rocketmq-client-go/v2",
	}},
}

// suites are packages of tests that other packages run; they may import what the
// folder above them may, and that folder.
const suites = "/conformance"

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "gannet/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		folder, _ := ruleOf(p.ImportPath)
		if folder == "gannet" && p.ImportPath != "gannet" {
			t.Errorf("%s: no rule says what it may import", p.ImportPath)
		}
		used[folder] = true
		for _, imported := range p.Imports {
			if !allowed(p.ImportPath, imported) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
	for _, r := range importRules {
		if !used[r.folder] {
			t.Errorf("the rule of %s is for nobody", r.folder)
		}
	}
}

// ruleOf gives the rule that counts for a package.
func ruleOf(path string) (folder string, allows []string) {
	for _, r := range importRules {
		if within(path, r.folder) && len(r.folder) > len(folder) {
			folder, allows = r.folder, r.allows
		}
	}
	return folder, allows
}

// allowed says whether a package may import another.
func allowed(path, imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	ours := first == "gannet"
	if !ours && !strings.Contains(first, ".") {
		return true // the standard library
	}
	folder, allows := ruleOf(path)
	if ours && strings.HasSuffix(imported, suites) && !strings.HasSuffix(path, suites) {
		return false // suites are for tests
	}
	if to, _ := ruleOf(imported); ours && to == folder && folder != "gannet" {
		return true
	}
	for _, a := range allows {
		if a == "*" || imported == a || !ours && within(imported, a) {
			return true
		}
	}
	return false
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func TestImportRulesCatch(t *testing.T) {
	for _, c := range []struct{ path, imported string }{
		{"gannet", "gannet/gateway"},
		{"gannet/protocol", unix},
		{"gannet/protocol", "gannet/internal/hop"},
		{"gannet/internal/hop", "gannet/logic"},
		{"gannet/gateway", "gannet/logic"},
		{"gannet/gateway", pebble},
		{"gannet/logic", pebble},
		{"gannet/logic", "gannet/logic/embedded"},
		{"gannet/logic", "gannet/logic/ledger"},
		{"gannet/logic", "gannet/logic/conformance"},
		{"gannet/logic/ledger", "gannet/internal/directory"},
		{"gannet/logic/ledger", pebble},
		{"gannet/logic/embedded", "gannet/transfer"},
		{"gannet/transfer", "gannet/gateway"},
		{"gannet/transfer/embedded", "gannet/logic"},
		{"gannet/transfer/cluster", "gannet/logic"},
		{"gannet/transfer/cluster", "gannet/internal/rocketmq"},
		{"gannet/sdk/go", "gannet/gateway"},
		{"gannet/sdk/go", "gannet/internal/hop"},
		{"gannet/sdk/go", "gannet/internal/command"},
		{"gannet/sdk/go", "gannet/sdk/go/gannettest"},
		{"gannet/sdk/go/examples", "gannet/sdk/go/gannettest"},
		{"gannet/sdk/go/gannettest", "gannet/gateway"},
		{"gannet/benchmark", "gannet/logic"},
		{"gannet/benchmark/load", "gannet/internal/hop"},
		{"gannet/internal/operate", "gannet/gateway"},
		{"gannet/gateway", kitex + "/server"},
		{"gannet/logic", kitex + "/client"},
		{"gannet/transfer", "gannet/idl/rpc"},
		{"gannet/idl/rpc", "gannet/gateway"},
		{"gannet/idl/rpc", "gannet/logic"},
		{"gannet/idl/rpc", netpoll},
		{"gannet/idl/kitex_gen/gannet", "gannet/internal/hop"},
		{"gannet/internal/directory", goRedis},
		{"gannet/internal/registry", goRedis},
		{"gannet/internal/limiter", redisRate},
		{"gannet/logic", clickHouse},
		{"gannet/logic/ledger", clickHouse + "/lib/driver"},
		{"gannet/logic/cluster/view", clickHouse},
		{"gannet/logic/cluster/history", goRedis},
		{"gannet/logic", "gannet/internal/redis"},
		{"gannet/logic", "gannet/internal/directory/redis"},
		{"gannet/fresh", "gannet/protocol"},
	} {
		if allowed(c.path, c.imported) {
			t.Errorf("%s may import %s", c.path, c.imported)
		}
	}
	for _, c := range []struct{ path, imported string }{
		{"gannet/logic/embedded", pebble + "/vfs"},
		{"gannet/benchmark/scenario", "gannet/benchmark/load"},
		{"gannet/logic/conformance", "gannet/logic"},
		{"gannet/gateway", "net"},
		{"gannet/idl/rpc", "gannet/idl/kitex_gen/gannet/logic"},
		{"gannet/idl/rpc", kitex + "/server"},
	} {
		if !allowed(c.path, c.imported) {
			t.Errorf("%s may not import %s", c.path, c.imported)
		}
	}
}
