package endtoend

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// botFile is the bot, as users find it.
const botFile = "../../protocol/examples/bot.py"

// bot runs the Python bot, one life after the other, and keeps what it prints.
type bot struct {
	t      *testing.T
	python string
	user   uint64
	server *daemon

	cmd  *exec.Cmd
	read sync.WaitGroup // the goroutine that reads what the current life prints

	mu    sync.Mutex
	lives [][]heard // what each process of the bot has printed
	total int       // lines of all lives
}

// heard is a line of the bot.
type heard struct{ sender, seq, number uint64 }

func newBot(t *testing.T, user uint64, server *daemon) *bot {
	t.Helper()
	// What is in the path may be a script that looks for it.
	python, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Fatalf("python3 is needed to run %s: install it (apt-get install python3): %v", botFile, err)
	}
	b := &bot{t: t, python: strings.TrimSpace(string(python)), user: user, server: server}
	t.Cleanup(func() {
		if b.cmd != nil {
			b.end(syscall.SIGKILL)
		}
	})
	return b
}

// start begins a life.
func (b *bot) start() {
	b.t.Helper()
	host, port, err := net.SplitHostPort(b.server.address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.cmd = exec.Command(b.python, botFile, host, port, "77")
	b.cmd.Env = append(os.Environ(), "GANNET_TOKEN="+sign(b.t, b.server.data, b.user))
	if b.cmd.Stderr, err = os.OpenFile(filepath.Join(b.server.data, "bot.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		b.t.Fatal(err)
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	b.lives = append(b.lives, nil)
	now := len(b.lives) - 1
	b.mu.Unlock()
	b.read.Go(func() {
		for lines := bufio.NewReaderSize(out, 1<<20); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return // the end; what is no whole line was not handled
			}
			var h heard
			if _, err := fmt.Sscan(line[:min(len(line), 80)], &h.sender, &h.seq, &h.number); err != nil {
				b.t.Errorf("the bot prints %.80q", line)
				return
			}
			b.mu.Lock()
			b.lives[now] = append(b.lives[now], h)
			b.total++
			b.mu.Unlock()
		}
	})
}

// signal sends a signal to the current life.
func (b *bot) signal(s syscall.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatalf("the bot is gone: %v\n%s", err, b.log())
	}
}

// end ends a life, and waits until it is over.
func (b *bot) end(s syscall.Signal) {
	_ = b.cmd.Process.Signal(s) // fails only when it is gone already
	b.read.Wait()
	_ = b.cmd.Wait()
	b.cmd.Stderr.(*os.File).Close()
	b.cmd = nil
}

// log gives what the bot said of its connections.
func (b *bot) log() string {
	text, err := os.ReadFile(filepath.Join(b.server.data, "bot.log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// printed gives how many lines there are in all.
func (b *bot) printed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// highest gives how far each sender's messages have come in any life.
func (b *bot) highest() map[uint64]uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := map[uint64]uint64{}
	for _, l := range b.lives {
		for _, h := range l {
			at[h.sender] = max(at[h.sender], h.seq)
		}
	}
	return at
}

// current gives what the current life has printed.
func (b *bot) current() []heard {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]heard(nil), b.lives[len(b.lives)-1]...)
}
