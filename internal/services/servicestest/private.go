package servicestest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// PrivateRedis is a Redis server for one test, which may kill and stop it.
type PrivateRedis struct {
	t       testing.TB
	Address string
	port    string
	folder  string
	args    []string
	process *exec.Cmd
}

// OwnRedis starts a server for this test on a free port. Without other arguments it
// keeps nothing on disk.
func OwnRedis(t testing.TB, args ...string) *PrivateRedis {
	t.Helper()
	if len(args) == 0 {
		args = []string{"--save", "", "--appendonly", "no"}
	}
	address := FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	r := &PrivateRedis{t: t, Address: address, port: port, folder: t.TempDir(), args: args}
	r.Start()
	t.Cleanup(r.Kill)
	return r
}

// The ports of private servers. They lie below those that the kernel gives to connections, else a
// connection could have a server's port while the server is restarted. scripts/services picks its
// ports below firstPort.
const (
	firstPort = 22_000
	lastPort  = 32_000
)

// FreeAddress gives an address of this machine on which nobody listens.
func FreeAddress(t testing.TB) (address string) {
	t.Helper()
	for range 100 {
		address = fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort))
		if ln, err := net.Listen("tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
	t.Fatal("no free port found")
	return ""
}

// Start starts the server, on the same port as before, and waits until it answers.
func (r *PrivateRedis) Start() {
	r.t.Helper()
	r.process = exec.Command("redis-server", append([]string{"--bind", "127.0.0.1", "--port", r.port, "--dir", r.folder, "--logfile", "log"}, r.args...)...)
	if err := r.process.Start(); err != nil {
		r.t.Fatalf("cannot start redis-server: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := ping(r.Address)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("redis-server does not answer: %v", err)
		}
	}
}

// ping asks a server whether it answers. A server answers only after its data is loaded.
func ping(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && answer != "+PONG\r\n" {
		err = fmt.Errorf("it says %q", answer)
	}
	return err
}

// Kill ends the server as a power cut does. If the server does not run, Kill does nothing.
func (r *PrivateRedis) Kill() {
	if r.process == nil {
		return
	}
	_ = r.process.Process.Signal(syscall.SIGKILL)
	_ = r.process.Wait() // the error is that it was killed
	r.process = nil
}

// Stop makes the server stand still until Continue.
func (r *PrivateRedis) Stop() { r.signal(syscall.SIGSTOP) }

// Continue lets the server go on.
func (r *PrivateRedis) Continue() { r.signal(syscall.SIGCONT) }

func (r *PrivateRedis) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.process.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}
