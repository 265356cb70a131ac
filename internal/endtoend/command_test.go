package endtoend

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gannet/internal/services/servicestest"
)

func TestSecondServerOnTheSameDataIsRefused(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	_, stderr, err := run(t, "--data", server.data, "--listen", "127.0.0.1:0")
	if err == nil || !strings.Contains(stderr, "another gannet is already running") || !strings.Contains(stderr, "--data") {
		t.Errorf("%v: %s", err, stderr)
	}
	_, stderr, err = run(t, "--data", t.TempDir(), "--listen", server.address)
	if err == nil || !strings.Contains(stderr, "address already in use") {
		t.Errorf("%v: %s", err, stderr)
	}
	server.stop()
}

func TestServerSaysWhatToDoNext(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	server.stop()
	out := server.out.String()
	for _, want := range []string{server.address, "chat --user 1 --to 2", "chat --user 2 --to 1", "--data " + server.data} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what the server printed:\n%s", want, out)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"token", "--user", "1", "--data", t.TempDir()}, "start the server once"},
		{[]string{"token", "--user", "0"}, "user 0 does not exist"},
		{[]string{"token"}, "--user"},
		{[]string{"chat", "--user", "1", "--to", "2", "--data", t.TempDir()}, "--token"},
		{[]string{"chat", "--user", "1", "--to", "2", "--token", "nonsense", "--address", servicestest.FreeAddress(t)}, "is the server running there?"},
		{[]string{"chat", "--user", "1", "--to", "2", "--token", "x", "--address", "host"}, "\ngannet: cannot log in at host: gannet: address \"host\" is not host:port\n"},
		{[]string{"chat", "--to", "2", "--token", "x", "--store", "/dev/null"}, "\ngannet: store: mkdir /dev/null: not a directory\n"},
		{[]string{"--listen", "nowhere"}, "--listen"},
		{[]string{"--tls-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"}, "--tls-cert"},
		{[]string{"--tls-listen", "127.0.0.1:0", "--tls-cert", "x"}, "--tls-key"},
		{[]string{"--tls-cert", "x", "--listen", "127.0.0.1:0"}, "without --tls-listen"},
		{[]string{"--tls-key", "x", "--listen", "127.0.0.1:0"}, "without --tls-listen"},
		{[]string{"--lanes=257", "--listen", "127.0.0.1:0"}, "--lanes 257: there are 1 to 256"},
		{[]string{"--lanes=-1", "--listen", "127.0.0.1:0"}, "--lanes -1"},
		{[]string{"--sockets=-3", "--listen", "127.0.0.1:0"}, "--sockets cannot be -3"},
		{[]string{"--max-connections=-1", "--listen", "127.0.0.1:0"}, "--max-connections cannot be -1"},
		{[]string{"--min-free=-1", "--listen", "127.0.0.1:0"}, "--min-free -1"},
		{[]string{"--outbox-memory=-1", "--listen", "127.0.0.1:0"}, "--outbox-memory -1"},
		{[]string{"--limit-devices=-1", "--listen", "127.0.0.1:0"}, "--limit-devices -1"},
		{[]string{"--limit-conversation-devices=-1", "--listen", "127.0.0.1:0"}, "--limit-conversation-devices -1"},
		{[]string{"--debug", ":0", "--listen", "127.0.0.1:0"}, "--debug-public"},
		{[]string{"--debug", "0.0.0.0:0", "--listen", "127.0.0.1:0"}, "--debug-public"},
		{[]string{"--debug", "[::]:0", "--listen", "127.0.0.1:0"}, "--debug-public"},
		{[]string{"--debug", "nonsense", "--listen", "127.0.0.1:0"}, `--debug "nonsense" is no address`},
		{[]string{"dance"}, "unexpected argument dance"},
		{[]string{"--log-level", "loud"}, "loud"},
	} {
		if c.args[0][0] == '-' {
			c.args = append(c.args, "--data", t.TempDir())
		}
		stdout, stderr, err := run(t, c.args...)
		if err == nil || !strings.Contains("\n"+stdout+stderr, c.says) {
			t.Errorf("gannet %s: %v, %q is not in:\n%s%s", strings.Join(c.args, " "), err, c.says, stdout, stderr)
		}
	}
}

func TestVersionAndHelp(t *testing.T) {
	out, _, err := run(t, "--version")
	if err != nil || !regexp.MustCompile(`^gannet \d+\.\d+\.\d+`).MatchString(out) {
		t.Errorf("--version: %v, %q", err, out)
	}
	out, _, err = run(t, "--help")
	for _, want := range []string{"serve", "chat", "token", "bench"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("--help: %v, no %q in:\n%s", err, want, out)
		}
	}
}

func TestBadConfigurationFiles(t *testing.T) {
	for content, says := range map[string]string{
		"listen = ":                        "is no TOML",
		"lisen = \"x\"":                    `"lisen", which is no flag; did you mean "listen"?`,
		"lanes = \"plenty\"":               "lanes",
		"[serve]\nmin-fre = 5":             `"min-fre" in the table "serve", which is no flag of gannet serve; did you mean "min-free"?`,
		"[server]\nlisten = \"x\"":         `a table "server", which is no command; did you mean "serve"?`,
		"[chat]\nlanes = 1":                `"lanes" in the table "chat"`,
		"something-else-altogether = true": `"something-else-altogether", which is no flag` + "\n",
	} {
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, stderr, err := run(t, "--config", file, "--data", t.TempDir(), "--listen", "127.0.0.1:0")
		if err == nil || !strings.Contains(stderr, says) || strings.Contains(stderr, "panic") {
			t.Errorf("%s: %v, %q is not in:\n%s", content, err, says, stderr)
		}
	}
}

func TestSettingsComeFromFlagsEnvironmentAndFile(t *testing.T) {
	dir := t.TempDir()
	address := servicestest.FreeAddress(t)
	file := filepath.Join(dir, "gannet.toml")
	settings := fmt.Sprintf("data = %q\nlisten = \"127.0.0.1:1\"\n[serve]\nlisten = %q\n[chat]\ndata = \"elsewhere\"\n", dir+"/from-file", address)
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	server := serveWith(t, dir, []string{"GANNET_DATA=" + dir + "/from-environment"}, "--config", file)
	if server.address != address {
		t.Errorf("listens on %s, the table of the file says %s", server.address, address)
	}
	if _, err := os.Stat(dir + "/from-environment/keys"); err != nil {
		t.Errorf("the environment does not win over the file: %v", err)
	}
}

// A public debug endpoint is possible for who says so; a name that stands for loopback
// needs no saying.
func TestDebugEndpointInPublic(t *testing.T) {
	for _, flags := range [][]string{{"--debug", "0.0.0.0:0", "--debug-public"}, {"--debug", "localhost:0"}, {"--debug", "[::1]:0"}} {
		if flags[1] == "[::1]:0" && !hasIPv6() {
			continue
		}
		server := serve(t, t.TempDir(), "127.0.0.1:0", flags...)
		if server.debug == "" {
			t.Errorf("%q: there is no debug endpoint", flags)
		}
		server.stop()
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// What is a switch on the command line is no setting.
func TestSwitchesAreNoSettings(t *testing.T) {
	server := serveWith(t, t.TempDir(), []string{"GANNET_VERSION=1.2.3", "GANNET_HELP=true", "GANNET_DEBUG_PUBLIC=nonsense"},
		"--data", t.TempDir(), "--listen", "127.0.0.1:0")
	server.stop()
}
