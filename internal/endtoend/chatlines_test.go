package endtoend

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gannet/internal/services/servicestest"
)

// Somebody who types sees what became of each line, sees where the chat had been, and
// ends it by Ctrl-C.
func TestChatByHand(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	args := []string{"--data", server.data, "--address", server.address, "--user", "1", "--to", "2"}
	alice := terminal(t, args...)
	alice.sees("* connected as user 1, chatting with 2\n", 1)
	alice.says("hello")
	alice.sees("* acked: hello\n", 1)
	if strings.Contains(alice.printed(), "* read") {
		t.Errorf("bob is not there and has read:\n%s", alice.printed())
	}
	bob := chat(t, server, 2, 1)
	bob.sees("1: hello\n", 1)
	alice.sees("* read by 2: hello\n", 1)
	bob.says("hello yourself")
	alice.sees("2: hello yourself\n", 1)
	for i := range 10 {
		alice.says(fmt.Sprint("line ", i))
	}
	alice.sees("* acked: line 9\n", 1)
	bob.sees("1: line 9\n", 1)
	if err := alice.interrupted(); err != nil {
		t.Errorf("Ctrl-C ends it with %v:\n%s", err, alice.printed())
	}
	bob.ends()

	again := terminal(t, args...)
	again.sees("me: line 9\n", 1)
	at := 0
	for i := range 10 {
		next := strings.Index(again.printed()[at:], fmt.Sprint(" me: line ", i, "\n"))
		if next < 0 {
			t.Fatalf("line %d is missing in the history, or out of order:\n%s", i, again.printed())
		}
		at += next
	}
	again.says("more")
	again.sees("* acked: more\n", 1)
	if err := again.interrupted(); err != nil {
		t.Error(err)
	}
	if printed := again.printed(); strings.Contains(printed, "hello") || strings.Count(printed, "line 9") != 1 {
		t.Errorf("it shows more than the last ten lines, or one twice:\n%s", printed)
	}
	server.stop()
}

// In a pipe the history would be taken for new: it is shown to who asks for it. What is
// new comes once, after it.
func TestChatShowsHistoryInAPipeIfAsked(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	alice := chat(t, server, 1, 2)
	for i := range 5 {
		alice.says(fmt.Sprint("old ", i))
	}
	alice.ends()
	bob := chat(t, server, 2, 1)
	bob.sees("old 4\n", 1)
	bob.ends()
	alice = chat(t, server, 1, 2)
	alice.says("new")
	alice.ends()
	if printed := alice.printed(); strings.Contains(printed, "old") {
		t.Errorf("the history comes without being asked for:\n%s", printed)
	}
	bob = chat(t, server, 2, 1, "--history=2")
	bob.sees("1: new\n", 1)
	bob.ends()
	var lines []string
	for line := range strings.Lines(bob.printed()) {
		if _, text, ok := strings.Cut(strings.TrimSpace(line), " 1: "); ok {
			lines = append(lines, text)
		}
	}
	if got := strings.Join(lines, ", "); got != "old 3, old 4, new" {
		t.Errorf("it shows %q", got)
	}
	// Who has no input at all is no terminal either.
	stdout, stderr, err := run(t, "chat", "--data", server.data, "--address", server.address, "--user=2", "--to=1")
	if err != nil || stdout != "" {
		t.Errorf("without an input it shows %q: %v, %s", stdout, err, stderr)
	}
	server.stop()
}

// A line that is not sent is said, the others are sent, and the exit status tells.
func TestChatTellsOfLinesThatAreNotSent(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	bob := chat(t, server, 2, 1)
	bob.sees("connected", 1)
	alice := chat(t, server, 1, 2)
	alice.says("before")
	alice.says(strings.Repeat("x", 64<<10)) // just fits
	alice.says(strings.Repeat("y", 64<<10+1))
	alice.says(strings.Repeat("z", 1<<20))
	alice.says("after")
	alice.input.Close()
	if err := alice.cmd.Wait(); status(err) != 1 {
		t.Errorf("it ended with %v, want exit status 1", err)
	}
	printed := alice.printed()
	for text, times := range map[string]int{"! not sent: yyy": 1, "! not sent: zzz": 1, "! not sent": 2, "* lines acked: 3\n": 1, "lines that were not sent: 2": 1} {
		if n := strings.Count(printed, text); n != times {
			t.Errorf("%q was printed %d times, want %d:\n%s", text, n, times, printed)
		}
	}
	bob.sees("1: after\n", 1)
	bob.ends()
	if strings.Contains(bob.printed(), "y") || !strings.Contains(bob.printed(), "1: "+strings.Repeat("x", 64<<10)+"\n") {
		t.Errorf("bob received something else:\n%.300s", bob.printed())
	}
	server.stop()
}

// Who chats is whom the token names, whatever else is said.
func TestChatIsWhoItsTokenNames(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	bob := chat(t, server, 2, 1)
	bob.sees("connected as user 2", 1)
	seventh := sign(t, server.data, 7)
	_, stderr, err := run(t, "chat", "--address", server.address, "--token", seventh, "--user", "1", "--to", "2")
	if status(err) != 1 || !strings.Contains(stderr, "the token is user 7's") || strings.Contains(stderr, "as user 1") {
		t.Errorf("%v: %s", err, stderr)
	}
	eve := terminal(t, "--address", server.address, "--token", seventh, "--to", "2")
	eve.sees("* connected as user 7, chatting with 2\n", 1)
	eve.says("hi")
	bob.sees("7 (another chat): hi\n", 1)
	if err := eve.interrupted(); err != nil {
		t.Error(err)
	}
	bob.ends()
	server.stop()
}

// What somebody sends does nothing to a terminal and is no second line.
func TestChatShowsTextAndNothingElse(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	bob := chat(t, server, 2, 1)
	bob.sees("connected", 1)
	alice := chat(t, server, 1, 2)
	alice.says("a\x1b[2Jb\rc\td é 漢字")
	bob.sees("1: a\ufffd[2Jb\ufffdc\td é 漢字\n", 1)
	alice.ends()
	bob.ends()
	server.stop()
}

// Who leaves while the server is away is told what is still under way. With a store it is
// sent by the next chat, which says so.
func TestChatKeepsWhatIsNotAcked(t *testing.T) {
	data, address := t.TempDir(), servicestest.FreeAddress(t)
	server := serve(t, data, address)
	args := []string{"--data", data, "--address", address, "--user", "1", "--to", "2", "--store", t.TempDir()}
	alice := terminal(t, args...)
	alice.sees("* connected as user 1", 1)
	server.kill()
	alice.sees("* connection lost", 1)
	alice.says("later")
	await(t, "the line is on disk", func() bool { return stored(t, args[len(args)-1], "later") })
	if _, err := alice.input.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	alice.sees("* waiting up to 10s for the server, which has not acked everything (1)\n", 1)
	if err := alice.interrupted(); status(err) == 0 {
		t.Errorf("an impatient end is a good one:\n%s", alice.printed())
	}

	// Another user's login does not get it, and is told what to do.
	server = serve(t, data, address)
	_, stderr, err := run(t, "chat", "--data", data, "--address", address, "--user=3", "--to=2", "--store", args[len(args)-1])
	if status(err) != 1 || !strings.Contains(stderr, "belongs to user 1, and this is user 3 (--store names another folder)") {
		t.Errorf("%v: %s", err, stderr)
	}
	server.stop()

	server = serve(t, data, address)
	alice = terminal(t, args...)
	alice.sees("* acked: a line of the chat before\n", 1)
	bob := chat(t, server, 2, 1)
	bob.sees("1: later\n", 1)
	alice.sees("* read by 2: a line of the chat before\n", 1)
	if err := alice.interrupted(); err != nil {
		t.Error(err)
	}
	bob.ends()
	server.stop()
}

// A server that is stopped without a word keeps the connection: who leaves then is told
// what is waited for.
func TestChatSaysWhatItWaitsFor(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0")
	alice := terminal(t, "--data", server.data, "--address", server.address, "--user", "1", "--to", "2")
	alice.sees("* connected as user 1", 1)
	if err := server.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus // once it is known to have stopped, none of its threads runs
	if _, err := syscall.Wait4(server.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the server did not stop: %v, %x", err, status)
	}
	alice.says("into the void")
	if _, err := alice.input.Write([]byte{4}); err != nil { // the end of the input
		t.Fatal(err)
	}
	alice.sees("* waiting up to 10s for the server, which has not acked everything (1)\n", 1)
	if err := server.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := alice.cmd.Wait(); err != nil || !strings.Contains(alice.printed(), "* acked: into the void\n") {
		t.Errorf("%v:\n%s", err, alice.printed())
	}
	server.stop()
}

// stored says whether a file in a folder has a text in it.
func stored(t *testing.T, dir, text string) bool {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(filepath.Join(dir, f.Name())); err == nil && strings.Contains(string(b), text) {
			return true
		}
	}
	return false
}
