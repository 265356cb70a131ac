package endtoend

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Apps and the server are killed for some seconds, and nothing is lost or comes twice
// without reason; gannet bench soak is the command for people. It leaves no process.
func TestSoak(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	r := report(t, "soak", "--duration", "8s", "--clients", "8", "--apps", "4", "--app-life", "2s", "--server-life", "3s", "--pause", "100ms", "--size", "30000", "--data", data)
	for name, least := range map[string]float64{"apps killed": 3, "server killed": 1, "taken, as the app was told": 50, "delivered": 50} {
		if n := figure(t, r, name); n < least {
			t.Errorf("%s: %v, want at least %v", name, n, least)
		}
	}
	if left := processesNaming(t, data); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
}

// Whoever kills the soak itself leaves no app behind: each ends when nobody is there to
// end it.
func TestAKilledSoakLeavesNoApp(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	c := prepare(t.Context(), t, "bench", "soak", "--duration", "1m", "--clients", "4", "--apps", "2", "--app-life", "10m", "--server-life", "10m", "--data", data)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	apps := func() (n int) {
		for _, line := range processesNaming(t, data) {
			if strings.Contains(line, "bench app") {
				n++
			}
		}
		return n
	}
	await(t, "the apps run", func() bool { return apps() == 2 })
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	await(t, "the apps are gone", func() bool { return apps() == 0 })
	// The server, which was nobody's to kill but the soak's, is this test's now.
	server, err := os.ReadFile(filepath.Join(data, "gannet.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(server)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "the server is gone", func() bool { return len(processesNaming(t, data)) == 0 })
}

// processesNaming gives the command lines of processes that name a path.
func processesNaming(t *testing.T, path string) (lines []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if err == nil && strings.Contains(line, path) { // some have ended meanwhile
			lines = append(lines, line)
		}
	}
	return lines
}
