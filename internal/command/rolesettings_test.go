package command

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// checked gives what gannet config check says of a settings file, with further flags.
func checked(t *testing.T, settings string, given map[string]string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.toml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"config": file}
	maps.Copy(all, given)
	var out strings.Builder
	err := checkSettings(t.Context(), &out, all)
	return out.String(), err
}

// config check reads the settings of each role as the role does, says what is wrong with them,
// and whose an address is that others do not have.
func TestConfigCheckReadsTheSettingsOfEachRole(t *testing.T) {
	const top = "redis = [\"127.0.0.1:1\"]\nrocketmq = [\"127.0.0.1:1\"]\nclickhouse = [\"127.0.0.1:1\"]\n"
	for _, c := range []struct {
		settings string
		given    map[string]string
		says     []string
	}{
		{"[logic]\nclickhouse = [\"127.0.0.1:9\"]", nil, []string{`settings of logic +- +ok`, `clickhouse +127.0.0.1:9 .*refused`, `redis +127.0.0.1:1 .*refused`, `name server +127.0.0.1:1 .*refused`}},
		{"[transfer]\nredis = [\"127.0.0.1:2\"]\n[logic]\nrocketmq = [\"127.0.0.1:3\"]", nil, []string{`redis of gateway, logic +127.0.0.1:1 `, `redis of transfer +127.0.0.1:2 `, `name server of logic +127.0.0.1:3 `, `name server of transfer +127.0.0.1:1 `}},
		{"[transfer]\nredis = [\"127.0.0.1:2\"]", map[string]string{"redis": "127.0.0.1:4"}, []string{`redis +127.0.0.1:4 `}},
		{"[gateway]\ncluster = \"other\"", nil, []string{`name of gateway +other +the roles of a cluster have one name`, `name of logic, transfer +gannet `}},
		{"[logic]\nqueues = \"many\"", nil, []string{`settings of logic .*"queues" in the table "logic"`}},
		{"[logic]\nqueues = 300", nil, []string{`settings of logic .*--queues 300`, `settings of gateway +- +ok`}},
		{"[gateway]\nlimit-devices = -5", nil, []string{`settings of gateway .*--limit-devices -5`}},
		{"[gateway]\nlistn = \"x\"", nil, []string{`settings of gateway .*did you mean "listen"`}},
		{"[gateway]\nlisten = \"x\"", nil, []string{`settings of gateway .*--listen "x" is no address`}},
		{"[logic]\nhistory-keep = \"1h\"", nil, []string{`settings of logic .*at least 24h`}},
		{"[logic]\nclickhouse = []", nil, []string{`settings of logic .*--clickhouse names no address: give one of ClickHouse at least`}},
		{"[transfer]\nrocketmq = []", nil, []string{`settings of transfer .*--rocketmq names no address`}},
		{"[gateway]\nredis = []", nil, []string{`settings of gateway .*--redis names no address`}},
		{"[gateway]\nredis = \"\"", nil, []string{`settings of gateway .*--redis names no address`}},
		{"[config]\nredis = \"a:1\"", nil, []string{`settings of gateway .*reads the settings of the roles`}},
	} {
		out, err := checked(t, top+c.settings+"\n", c.given)
		if err != errServers {
			t.Errorf("%q gives %v", c.settings, err)
		}
		for _, says := range c.says {
			if !regexp.MustCompile(`(?m)^` + says).MatchString(out) {
				t.Errorf("%q: not %s in\n%s", c.settings, says, out)
			}
		}
	}
}

// The flags of config check itself are given to the roles as they were written.
func TestConfigCheckGivesItsFlagsToTheRoles(t *testing.T) {
	t.Chdir(t.TempDir())
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	line, err := parser.Parse([]string{"config", "check", "--redis", "a:1,b:2", "--redis-tls", "--clickhouse-user=x"})
	if err != nil {
		t.Fatal(err)
	}
	if given := givenFlags(line); !maps.Equal(given, map[string]string{"redis": "a:1,b:2", "redis-tls": "true", "clickhouse-user": "x"}) {
		t.Errorf("the flags are %q", given)
	}
	for role, wants := range map[string]string{"gateway": "", "logic": "x"} {
		r, err := readRole(role, givenFlags(line))
		if err != nil || strings.Join(r.Redis, " ") != "a:1 b:2" || !r.RedisTLS || (r.history == nil) != (wants == "") || r.history != nil && r.history.ClickhouseUser != wants {
			t.Errorf("%s: %+v, %v", role, r, err)
		}
	}
}
