package endtoend

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The two programs of the README, in a module of their own, chat.
func TestTheProgramsOfTheReadmeChat(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	dir := t.TempDir()
	programs := regexp.MustCompile("(?ms)^\\*\\*([a-z]+/main.go)\\*\\* .*?^```go\n(.*?)^```").FindAllStringSubmatch(read("README.md"), -1)
	if len(programs) != 2 {
		t.Fatalf("the README has %d programs, want 2", len(programs))
	}
	for _, p := range programs {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(p[1])), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p[1]), []byte(p[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What go mod tidy would look up is known here.
	mod := strings.Replace(read("go.mod"), "module gannet\n", "module example.com/hello\n", 1) + "\nrequire gannet v0.0.0\nreplace gannet => " + root + "\n"
	for name, content := range map[string]string{"go.mod": mod, "go.sum": read("go.sum")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", filepath.Join(dir, "bin")+"/", "./bot", "./ask")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}

	server := serve(t, t.TempDir(), "127.0.0.1:0")
	start := func(name string, user uint64, args ...string) (*exec.Cmd, *bytes.Buffer) {
		var out bytes.Buffer
		c := exec.CommandContext(t.Context(), filepath.Join(dir, "bin", name), args...)
		c.Env = append(os.Environ(), "SERVER="+server.address, "TOKEN="+sign(t, server.data, user))
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return c, &out
	}
	start("bot", 2)
	ask, out := start("ask", 1, "hello")
	if err := ask.Wait(); err != nil || !strings.Contains(out.String(), "sent, as message 1 of the conversation\n") || !strings.Contains(out.String(), "user 2: you said: hello\n") {
		t.Errorf("%v: %s", err, out.String())
	}
	// The answer was received, and does not come to the next program.
	heard, stderr, err := run(t, "chat", "--data", server.data, "--address", server.address, "--user=1", "--to=2", "--history=0")
	if err != nil || heard != "" {
		t.Errorf("%v: %s%s", err, heard, stderr)
	}
	server.stop()
}
