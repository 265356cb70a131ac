package endtoend

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gannet "gannet/sdk/go"
)

// The two programs of the README and the one of the package comment, in a module of their
// own, chat with each other and with people, and never with themselves.
func TestTheProgramsOfTheReadmeChat(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	dir := t.TempDir()
	documented(t, dir, server.address, sign(t, server.data, 4))
	start := func(name string, user uint64, args ...string) *chatter {
		c := &chatter{t: t, changed: make(chan struct{}, 1)}
		c.cmd = exec.CommandContext(t.Context(), filepath.Join(dir, "bin", name), args...)
		c.cmd.Env = append(os.Environ(), "SERVER="+server.address, "TOKEN="+sign(t, server.data, user))
		c.cmd.Stdout, c.cmd.Stderr = c, c
		c.start()
		return c
	}
	bot, ask := start("bot", 2), start("ask", 1, "hello")
	if err := ask.cmd.Wait(); err != nil || ask.printed() != "sent, as message 1 of the conversation\nuser 2: you said: hello\n" {
		t.Errorf("%v: %s", err, ask.printed())
	}
	// The answer was received, and does not come to the next program.
	heard, stderr, err := run(t, "chat", "--data", server.data, "--address", server.address, "--user=1", "--to=2")
	if err != nil || heard != "" {
		t.Errorf("%v: %s%s", err, heard, stderr)
	}

	// The bot's user writes to somebody from another device, before the bot has a question.
	own := chat(t, server, 2, 3)
	own.says("this is me")
	own.ends()
	ask = start("ask", 1, "more")
	if err := ask.cmd.Wait(); err != nil || !strings.Contains(ask.printed(), "user 2: you said: more\n") {
		t.Errorf("%v: %s", err, ask.printed())
	}
	reader, err := gannet.Dial(t.Context(), server.address, sign(t, server.data, 3))
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range reader.History(t.Context(), gannet.User(2)) {
		if err != nil || m.Text() != "this is me" {
			t.Errorf("user 3 was sent %q, %v", m.Text(), err)
		}
	}
	if err := reader.Close(t.Context()); err != nil {
		t.Error(err)
	}

	// Two who ask as one user see each other's questions, which are no answers.
	_ = bot.cmd.Process.Kill()
	_ = bot.cmd.Wait()
	first := start("ask", 1, "first")
	first.sees("sent, as message", 1)
	second := start("ask", 1, "second")
	second.sees("sent, as message", 1)
	start("bot", 2)
	for _, ask := range []*chatter{first, second} {
		if err := ask.cmd.Wait(); err != nil || !strings.Contains(ask.printed(), "user 2: you said: ") || strings.Contains(ask.printed(), "user 1") {
			t.Errorf("%v: %s", err, ask.printed())
		}
	}

	start("first", 4)
	bob := chat(t, server, 1, 4)
	bob.says("hi")
	bob.sees("4: You said: hi\n", 1)
	bob.ends()
	server.stop()
}

// documented builds the programs of the README, and that of the package comment as "first"
// with its address and token, in the folder's bin.
func documented(t *testing.T, dir, address, token string) {
	t.Helper()
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
	programs := regexp.MustCompile("(?ms)^\\*\\*([a-z]+/main.go)\\*\\* .*?^```go\n(.*?)^```").FindAllStringSubmatch(read("README.md"), -1)
	if len(programs) != 2 {
		t.Fatalf("the README has %d programs, want 2", len(programs))
	}
	var comment strings.Builder
	for line := range strings.Lines(read("sdk/go/doc.go")) {
		if line == "//\n" || strings.HasPrefix(line, "//\t") { // code in the comment, and empty lines around it
			comment.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "//"), "\t"))
		}
	}
	first := comment.String()
	for text, value := range map[string]string{"127.0.0.1:7420": address, "a token from gannet token": token} {
		if strings.Count(first, text) != 1 {
			t.Fatalf("%q is not in the program of the package comment, once:\n%s", text, first)
		}
		first = strings.Replace(first, text, value, 1)
	}
	// What go mod tidy would look up is known here.
	mod := strings.Replace(read("go.mod"), "module gannet\n", "module example.com/hello\n", 1) + "\nrequire gannet v0.0.0\nreplace gannet => " + root + "\n"
	files := map[string]string{"go.mod": mod, "go.sum": read("go.sum"), "first/main.go": first}
	for _, p := range programs {
		files[p[1]] = p[2]
	}
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", filepath.Join(dir, "bin")+"/", "./...")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
}
