package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// parseSettings reads a settings file for a command line.
func parseSettings(t *testing.T, settings string, arguments ...string) (*cli, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.toml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(append(arguments, "--config", file))
	return &c, err
}

// A value of another type than the flag's is refused with the name of its key and what it has
// to be: above all a number for a duration, which would be one of nanoseconds.
func TestTypesInTheSettingsFile(t *testing.T) {
	const duration = `such as "720h"`
	for settings, says := range map[string]string{
		"[logic]\nhistory-keep = 30":                   `"history-keep" in the table "logic": it has to be a duration in quotes, with its unit, ` + duration,
		"history-keep = 720.5":                         duration,
		"[logic]\nbroker-retention = 72":               duration,
		"[token]\nttl = 30":                            duration,
		"history-keep = \"30\"":                        "missing unit",
		"[logic]\nhistory-keep = 2026-11-27T10:00:00Z": duration,
		"redis = [1, 2]":                               `a list with a bare number for "redis": it has to be a list of texts in quotes, such as [`,
		"redis = 6379":                                 "a list of texts",
		"[logic]\nkeys = 5":                            "a text in quotes",
		"[logic]\nqueues = \"many\"":                   `"queues" in the table "logic"`,
		"[logic]\nqueues = 16.5":                       "a whole number",
		"[logic]\nqueues = [16]":                       "a whole number",
		"[gateway]\nlimit-sends = 500":                 `a text in quotes, such as "`,
		"[gateway]\nlimit-sends = \"5\"":               "200/2048",
		"[gateway]\nredis-tls = \"perhaps\"":           "bool value must be true",
		"[gateway]\nredis-tls = 1":                     "true or false",
		"[gateway]\nlog-level = \"loud\"":              "one of debug,info,warn,error",
		"redis-password = 1234":                        "a text in quotes",
		"[logic]\nclickhouse-compress = [\"none\"]":    "a text in quotes",
		"[bench]\nduration = 10":                       duration,
	} {
		for _, command := range [][]string{{"logic"}, {"gateway"}, {"token", "--user", "1"}} { // whose file it is, too, when another command reads it
			_, err := parseSettings(t, settings+"\n", command...)
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("gannet %s: %q gives %v, want %q", command[0], settings, err, says)
			} else if strings.Contains(err.Error(), "1234") || strings.Contains(err.Error(), "interface {}") {
				t.Errorf("%q gives %v", settings, err)
			}
		}
	}
	c, err := parseSettings(t, "redis = [\"a:1\", \"b:2\"]\nredis-tls = true\n[logic]\nhistory-keep = \"48h\"\nqueues = 4\nrocketmq = \"c:3,d:4\"\nclickhouse = [\"e:5\"]\n[gateway]\nlimit-sends = \"off\"\n", "logic")
	if l := c.Logic; err != nil || len(l.Redis) != 2 || !l.RedisTLS || l.HistoryKeep != 48*time.Hour || l.Queues != 4 || len(l.Rocketmq) != 2 || len(l.Clickhouse) != 1 {
		t.Errorf("good settings give %+v, %v", l, err)
	}
}

// Every flag is of a type of which checkValue says what it has to be.
func TestTypesOfFlags(t *testing.T) {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range flagsOf(parser.Model.Node) {
		if err := checkValue(flag, time.Now(), ""); err == nil || !strings.Contains(err.Error(), "it has to be ") {
			t.Errorf("a date for %s gives %v", flag.Name, err)
		}
	}
}

// Durations that would do harm and cannot be meant are refused, with the least and the reason.
func TestLeastDurations(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct{ command, least string }{
		{"logic --history-keep=30m", "--history-keep 30m0s: it is at least 24h0m0s, because older messages are removed"},
		{"logic --history-keep=-24h", "at least 24h0m0s"},
		{"logic --broker-retention=59m", "--broker-retention 59m0s: it is at least 1h0m0s, because"},
		{"logic --broker-retention=-1h", "at least 1h0m0s"},
		{"token --user=1 --ttl=30ns", "--ttl 30ns: it is at least 1s, because"},
		{"parked retry --wait=30ns", "--wait 30ns: it is at least 1s, because"},
	} {
		if err := parseOnly(t, strings.Fields(c.command)...); err == nil || !strings.Contains(err.Error(), c.least) {
			t.Errorf("gannet %s gives %v", c.command, err)
		}
	}
	for _, command := range []string{"logic --history-keep=0 --broker-retention=0", "logic --history-keep=24h --broker-retention=1h", "token --user=1 --ttl=1s"} {
		if err := parseOnly(t, strings.Fields(command)...); err != nil {
			t.Errorf("gannet %s gives %v", command, err)
		}
	}
}

// parseOnly reads a command line and gives what is wrong with it.
func parseOnly(t *testing.T, arguments ...string) error {
	t.Helper()
	var c cli
	parser, err := newParser(&c, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(arguments)
	return err
}
