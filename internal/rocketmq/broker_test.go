//go:build cluster

package rocketmq

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gannet/internal/services/servicestest"
)

// ownBroker is a broker of the test's own, which may be killed.
type ownBroker struct {
	t          testing.TB
	nameServer string
	name       string
	dir        string
	port       int
	process    *exec.Cmd
}

// startBroker starts one beside the name server, with more lines for its configuration.
func startBroker(t testing.TB, nameServer string, more ...string) *ownBroker {
	t.Helper()
	b := &ownBroker{t: t, nameServer: nameServer, name: "own-" + rand.Text(), dir: t.TempDir(), port: freePort(t)}
	t.Cleanup(b.kill)
	b.start(more...)
	return b
}

// freePort gives a port that is free with its neighbours, which the broker uses too. It
// is none that the system gives to clients: a client that dials such a port of a dead
// broker again and again gets connected to itself one day, and the broker cannot have its
// port back.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 12000 + mathrand.IntN(20000)
		good := true
		for _, port := range []int{port - 2, port, port + 1} {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
				good = false
			} else {
				l.Close()
			}
		}
		if good {
			return port
		}
	}
	t.Fatal("no free port has free neighbours")
	return 0
}

// start starts the process and waits until it answers.
func (b *ownBroker) start(more ...string) {
	b.t.Helper()
	lines := append([]string{
		"brokerClusterName=C", "brokerName=" + b.name, "brokerId=0", "brokerIP1=127.0.0.1", "bindAddress=127.0.0.1",
		fmt.Sprintf("listenPort=%d", b.port), "namesrvAddr=" + b.nameServer, "brokerRole=ASYNC_MASTER", "flushDiskType=SYNC_FLUSH",
		"autoCreateTopicEnable=false", "autoCreateSubscriptionGroup=true", "timerWheelEnable=false",
		"storePathRootDir=" + filepath.Join(b.dir, "store"), "storePathCommitLog=" + filepath.Join(b.dir, "store", "commitlog"),
	}, more...)
	config := filepath.Join(b.dir, "broker.conf")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		b.t.Fatal(err)
	}
	out, err := os.OpenFile(filepath.Join(b.dir, "out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Close()
	b.process = exec.Command("java", "-Xms256m", "-Xmx768m", "-XX:+UseG1GC", "-XX:-UsePerfData", "-Djava.io.tmpdir="+b.dir,
		"--add-exports", "java.base/jdk.internal.ref=ALL-UNNAMED", "--add-opens", "java.base/java.nio=ALL-UNNAMED",
		"--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens", "java.base/jdk.internal.misc=ALL-UNNAMED",
		"-Duser.home="+b.dir, "-Drocketmq.home.dir="+b.dir, "-cp", filepath.Join(servicestest.RocketMQJars(b.t), "*"),
		"org.apache.rocketmq.broker.BrokerStartup", "-c", config)
	b.process.Dir, b.process.Stdout, b.process.Stderr = b.dir, out, out
	b.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.process.Start(); err != nil {
		b.t.Fatal(err)
	}
	r := newRemote()
	defer r.close()
	var last error
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		address, err := r.brokerAddress(ctx, []string{b.nameServer}, b.name)
		if err == nil {
			_, err = r.call(ctx, address, getMinOffset, map[string]string{"topic": everywhere, "queueId": "0"}, nil)
		}
		cancel()
		if last = err; err == nil {
			return
		}
	}
	said, _ := os.ReadFile(filepath.Join(b.dir, "out"))
	store, _ := filepath.Glob(filepath.Join(b.dir, "logs", "rocketmqlogs", "*", "store.log"))
	for _, path := range store {
		log, _ := os.ReadFile(path)
		said = append(said, log[max(0, len(log)-4000):]...)
	}
	b.t.Fatalf("the broker does not come up: %v\n%s", last, said)
}

// kill is kill -9.
func (b *ownBroker) kill() {
	if b.process != nil && b.process.Process != nil {
		b.process.Process.Kill()
		b.process.Wait()
		b.process = nil
	}
}

// freeze stops it until thaw. None of its threads runs any more once it returns.
func (b *ownBroker) freeze() {
	b.t.Helper()
	b.process.Process.Signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(b.process.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		b.t.Fatalf("the broker did not stop: %v, %x", err, status)
	}
}

func (b *ownBroker) thaw() { b.process.Process.Signal(syscall.SIGCONT) }

// stop stops it, and lets it go on after a while.
func (b *ownBroker) stop(d time.Duration) {
	b.t.Helper()
	b.freeze()
	time.Sleep(d)
	b.thaw()
}
