package gateway

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudwego/netpoll"

	"gannet/protocol"
)

func TestSeveralSocketsShareOneAddress(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	listeners, err := Listen("127.0.0.1:0", 3)
	if err != nil {
		t.Fatal(err)
	}
	st.address = listeners[0].Addr().String()
	if second, err := Listen(st.address, 3); err == nil {
		t.Errorf("somebody else could listen on %s too: %v", st.address, second)
	}
	for _, l := range listeners {
		if l.Addr().String() != st.address {
			t.Fatalf("listens on %s, not %s", l.Addr(), st.address)
		}
		if err := st.Serve(l); err != nil {
			t.Fatal(err)
		}
	}
	for user := uint64(1); user <= 50; user++ { // the kernel spreads them over the sockets
		st.login(user).alive()
	}
}

func TestStopRightAfterServe(t *testing.T) {
	for range 20 {
		g := build(Config{Logic: newLogic()})
		listeners, err := Listen("127.0.0.1:0", 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range listeners {
			if err := g.Serve(l); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := g.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}

// What netpoll holds for an idle connection is what the configuration says, and
// with the session on top it stays below the budget of 6 KiB.
func TestIdleConnectionIsSmall(t *testing.T) {
	if netpoll.LinkBufferCap != 1<<10 {
		t.Errorf("netpoll's buffers begin with %d bytes", netpoll.LinkBufferCap)
	}
	const connections, budget = 1000, 6 << 10
	st := newStage(t, newLogic(), Config{})
	st.login(1).alive()
	in := make([]byte, 4<<10)
	fds := make([]int, connections) // bare sockets, so that the client's side costs nothing here
	before := inUse()
	for i := range fds {
		fds[i] = connect(t, st.address)
		defer syscall.Close(fds[i])
		if _, err := syscall.Write(fds[i], hello(uint64(i%250+1))); err != nil {
			t.Fatal(err)
		}
		n, err := syscall.Read(fds[i], in)
		if f, _, serr := protocol.Split(in[:max(n, 0)], protocol.MaxFrame); err != nil || serr != nil || f.Type != protocol.TypeWelcome {
			t.Fatalf("login %d: %#x, %v, %v", i, f.Type, err, serr)
		}
	}
	each := (inUse() - before) / connections
	t.Logf("%d bytes a connection", each)
	if each > budget {
		t.Errorf("an idle connection takes %d bytes, the budget is %d", each, budget)
	}
}

// inUse gives what the heap and the stacks hold.
func inUse() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func connect(t *testing.T, address string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}
	if err := syscall.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	return fd
}

// What netpoll has to say is one line of the log of the process, and peers that
// reset their connections do not fill it.
func TestNetpollSpeaksThroughTheLog(t *testing.T) {
	var out strings.Builder
	old := slog.Default()
	defer slog.SetDefault(old)
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	netpollSays := log.New(netpollLog{}, "", log.LstdFlags)
	netpollSays.Printf("NETPOLL: readall(fd=%d)=%d before close: %s", 13, 4, syscall.ECONNRESET)
	if out.Len() > 0 {
		t.Errorf("a reset is logged: %s", out.String())
	}
	netpollSays.Printf("NETPOLL: accept conn failed: %v", fmt.Errorf("too many open files"))
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `level=WARN msg="netpoll: accept conn failed: too many open files"`) {
		t.Errorf("logged: %s", got)
	}
	netpollSays.Printf("something new")
	if got := out.String(); !strings.Contains(got, "something new") {
		t.Errorf("not logged, in: %s", got)
	}
}
