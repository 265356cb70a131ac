package servicestest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The parts that scripts/services knows by name.
const (
	PartRedis      = "redis"
	PartNameServer = "nameserver"
	PartBroker     = "broker"
	PartClickHouse = "clickhouse"
)

// Services are servers that scripts/services started. Their ports stay the same as long
// as they are up.
type Services struct {
	dir       string
	addresses map[string]string
}

// Shared gives the services that were started for all tests. A test that kills a part must start it
// again before it ends, because the next test needs it.
func Shared(t testing.TB) *Services {
	t.Helper()
	return &Services{dir: address(t, "GANNET_TEST_SERVICES")}
}

// Own starts services for this test alone; args are options of scripts/services, such
// as "--only=redis". They are gone when the test ends.
func Own(t testing.TB, args ...string) *Services {
	t.Helper()
	s := &Services{dir: filepath.Join(t.TempDir(), "services")}
	t.Cleanup(func() { s.run(t, "down") })
	s.run(t, append([]string{"up"}, args...)...)
	s.addresses = s.read(t)
	return s
}

// Address gives an address of services that Own started. name is the name of the environment
// variable for shared services, such as GANNET_TEST_REDIS.
func (s *Services) Address(t testing.TB, name string) string {
	t.Helper()
	a := s.addresses[name]
	if a == "" {
		t.Fatalf("%s is none of these services: %v", name, s.addresses)
	}
	return a
}

// Kill sends a signal, such as "KILL" or "STOP", to a part. After KILL and TERM, the part has ended
// when Kill returns.
func (s *Services) Kill(t testing.TB, part, signal string) {
	t.Helper()
	s.run(t, "kill", part, signal)
}

// Start starts a part again with its data, and waits until it answers.
func (s *Services) Start(t testing.TB, part string) {
	t.Helper()
	s.run(t, "start", part)
}

// StartEmpty starts a part again as one that has lost its data.
func (s *Services) StartEmpty(t testing.TB, part string) {
	t.Helper()
	s.run(t, "start", part, "--empty")
}

// Data is the folder in which a part keeps its data.
func (s *Services) Data(part string) string { return filepath.Join(s.dir, part, "data") }

// Kill sends a signal to a part of the shared services.
func Kill(t testing.TB, part, signal string) {
	t.Helper()
	Shared(t).Kill(t, part, signal)
}

// Start starts a part of the shared services again.
func Start(t testing.TB, part string) {
	t.Helper()
	Shared(t).Start(t, part)
}

// run calls scripts/services for the directory of s.
func (s *Services) run(t testing.TB, args ...string) {
	t.Helper()
	command := exec.Command(filepath.Join(module(t), "scripts", "services"), append([]string{"--dir", s.dir}, args...)...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("scripts/services %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// read gives the addresses that scripts/services wrote.
func (s *Services) read(t testing.TB) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string]string{}
	for line := range bytes.Lines(b) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(line)), "export "), "=")
		if ok {
			addresses[name] = value
		}
	}
	return addresses
}

// module is the folder of the module that the test belongs to.
func module(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("the test does not run in a folder of the module")
		}
	}
}
