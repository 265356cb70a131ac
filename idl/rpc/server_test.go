package rpc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"
)

// relisten opens the address that somebody has just left.
func relisten(t *testing.T, address string) (ln net.Listener) {
	t.Helper()
	eventually(t, "the address is free", func() (ok bool) {
		var err error
		ln, err = net.Listen("tcp", address)
		return err == nil
	})
	return ln
}

// Stop lets calls that are under way end, and their answers go out.
func TestStop(t *testing.T) {
	st := newLogicStage(t)
	st.client.calls.try = callTimeout // on a machine that is busy too
	st.entered, st.gate = make(chan struct{}), make(chan struct{})
	answered := make(chan error)
	go func() {
		_, err := st.client.Forward(context.Background(), batchOf(1, 1))
		answered <- err
	}()
	<-st.entered
	idle := raw(t, st.server.Address())
	eventually(t, "both are connected", func() bool { return st.server.Stats()["connections"] == 2 })
	stopped := make(chan error)
	go func() { stopped <- st.server.Stop(context.Background()) }()
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection got something")
	}
	eventually(t, "the idle connection is over", func() bool { return st.server.Stats()["connections"] == 1 })
	if _, err := net.Dial("tcp", st.server.Address()); err == nil {
		t.Error("it still accepts")
	}
	select {
	case err := <-stopped:
		t.Fatalf("it has stopped with a call under way: %v", err)
	default:
	}
	st.gate <- struct{}{}
	if err := <-answered; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := st.server.Stop(context.Background()); err != nil {
		t.Errorf("a second stop: %v", err)
	}
	if n := st.client.Stats()["failed.try"]; n != 0 {
		t.Errorf("%d tries failed", n)
	}
}

// A call that does not end is cut off when the time is over.
func TestStopThatIsCutOff(t *testing.T) {
	st := newLogicStage(t)
	st.entered, st.gate = make(chan struct{}, 10), make(chan struct{})
	st.client.calls.budget.left = 0
	answered := make(chan error)
	go func() {
		_, err := st.client.Forward(context.Background(), batchOf(1, 1))
		answered <- err
	}()
	<-st.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped := make(chan error)
	go func() { stopped <- st.server.Stop(ctx) }()
	if err := <-answered; err == nil {
		t.Error("the call that was cut off was answered")
	}
	close(st.gate)
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("stop: %v", err)
	}
}

// What makes accept fail for a while does not end a server, and too many connections are
// turned away.
func TestAccept(t *testing.T) {
	inner := &failing{Listener: listen(t), failures: make(chan error, 1)}
	inner.failures <- errors.New("too many open files")
	st := newLogicStage(t)
	server := stopping(t, ServeLogic(inner, st.script, st.registry, config()))
	st.registry.put(queues, Node{ID: self, Address: server.Address()})
	if a, err := st.client.Forward(t.Context(), batchOf(1, 1)); err != nil || a.Len() != 1 {
		t.Fatalf("%d answers, %v", a.Len(), err)
	}
	if n := server.Stats()["failed.accept"]; n != 1 {
		t.Errorf("%d failures", n)
	}
	l := newListener(listen(t))
	defer l.Close()
	for range maxConns {
		l.conns[&peerConn{}] = struct{}{}
	}
	a, b := net.Pipe()
	defer b.Close()
	if l.admit(a) != nil || l.refused.Times() != 1 {
		t.Error("there is always room for one more")
	}
}

// failing is a listener whose accept fails as often as it is told.
type failing struct {
	net.Listener
	failures chan error
}

func (l *failing) Accept() (net.Conn, error) {
	select {
	case err := <-l.failures:
		return nil, err
	default:
		return l.Listener.Accept()
	}
}

// Nodes that are not called any more are forgotten, and their connections closed.
func TestPeersAreForgotten(t *testing.T) {
	st := newLogicStage(t)
	if _, err := st.client.Forward(t.Context(), batchOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	_, _, node := st.second(t)
	peers := st.client.calls.peers
	peers.mu.Lock()
	peers.byAddress[st.server.Address()].used = time.Now().Add(-2 * peerIdle)
	peers.mu.Unlock()
	st.registry.put(queues, node)
	if _, err := st.client.Forward(t.Context(), batchOf(1, 1)); err != nil {
		t.Fatal(err)
	}
	if n := st.client.Stats()["nodes"]; n != 1 {
		t.Errorf("%d nodes are remembered", n)
	}
	eventually(t, "its connection is closed", func() bool { return st.server.Stats()["connections"] == 0 })
	st.client.Close()
	if _, err := st.client.Forward(t.Context(), batchOf(1, 1)); !errors.Is(err, errClosed) || st.client.Stats()["nodes"] != 0 {
		t.Errorf("after Close: %v", err)
	}
}

// Kitex says little, in the log of the process, and once a second.
func TestKitexLog(t *testing.T) {
	log, lines := newLog()
	before := slog.Default()
	slog.SetDefault(log)
	defer slog.SetDefault(before)
	var l kitexLog
	for range 100 {
		l.CtxErrorf(t.Context(), "KITEX: a test of %d\nstack=%s", 1, "lines")
		l.Infof("hello")
		l.CtxErrorf(t.Context(), "KITEX: processing request error, remoteService=%s, remoteAddr=%v, error=%s\nstack=%s", "", "a", "read tcp a->b: i/o timeout", "lines") // an idle connection
	}
	if n := lines.lines["kitex: a test of 1"]; n != 1 || len(lines.lines) != 1 {
		t.Errorf("the lines are %v", lines.lines)
	}
}
