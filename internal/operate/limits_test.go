package operate

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait; nothing here takes a fraction of it.
const patience = time.Minute

func (a *asked) dial() net.Conn {
	a.t.Helper()
	conn, err := net.Dial("tcp", a.Address())
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		a.t.Fatal(err)
	}
	return conn
}

// ends reads until the server closes the connection.
func (a *asked) ends(conn net.Conn, what string) {
	a.t.Helper()
	var timeout net.Error
	if _, err := io.Copy(io.Discard, conn); errors.As(err, &timeout) && timeout.Timeout() {
		a.t.Errorf("%s: the connection stays", what)
	}
}

// own gives the endpoint's own counters.
func (a *asked) own() map[string]uint64 {
	a.t.Helper()
	var vars map[string]map[string]uint64
	a.decode("/debug/vars", &vars)
	return vars["debug"]
}

// await waits until the condition holds.
func (a *asked) await(what string, holds func() bool) {
	a.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatalf("%s: not within %v; %v", what, patience, a.limits.stats())
		}
	}
}

// Whoever opens connections and says nothing, or half of a request, takes as many files as
// the endpoint may have, and no more. Those who are silent for longest give way, so
// whoever asks is answered.
func TestSilentConnectionsGiveWay(t *testing.T) {
	a := serve(t)
	var silent []net.Conn
	for i := range maxConnections + 5 {
		conn := a.dial()
		if i%2 == 1 {
			if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost:"); err != nil {
				t.Fatal(err)
			}
		}
		silent = append(silent, conn)
	}
	for _, conn := range silent[:5] {
		a.ends(conn, "the oldest")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 10 {
		answer, err := client.Get("http://" + a.Address() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	if own := a.limits.stats(); own["open"] > maxConnections || own["refused.gave_way"] < 6 || own["refused.full"] != 0 {
		t.Errorf("the counters are %v", own)
	}
	for _, conn := range silent {
		conn.Close()
	}
	a.await("all are gone", func() bool { return a.limits.open.Load() == 0 })
	a.await("none is remembered", func() bool {
		a.limits.mu.Lock()
		defer a.limits.mu.Unlock()
		return a.limits.quiet.Len() == 0
	})
}

// Of more connections than are served at once the others are closed, and counted.
func TestConnectionsAreBounded(t *testing.T) {
	a := serve(t)
	busy := make([]net.Conn, maxConnections)
	for i := range busy {
		busy[i] = a.dial()
		if _, err := io.WriteString(busy[i], "GET /debug/pprof/goroutine?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	stacks := make([]byte, 1<<20)
	a.await("all are being served", func() bool {
		n := runtime.Stack(stacks, true)
		return bytes.Count(stacks[:n], []byte("net/http/pprof.handler.serveDeltaProfile(")) == maxConnections
	})
	for range 5 {
		a.ends(a.dial(), "one too many")
	}
	if own := a.limits.stats(); own["open"] != maxConnections || own["refused.full"] != 5 || own["accepted"] != maxConnections || own["refused.gave_way"] != 0 {
		t.Errorf("the counters are %v", own)
	}
	busy[0].Close()
	a.await("one has left", func() bool { return a.limits.open.Load() < maxConnections })
	if status, _, _ := a.get("/healthz"); status != http.StatusOK {
		t.Errorf("after one has left nobody gets in: %d", status)
	}
}

// A connection that says nothing, half of a request, or nothing more, is closed, and so
// is one that trickles a body that nobody reads.
func TestConnectionsThatStop(t *testing.T) {
	a := serveWithin(t, times{read: 50 * time.Millisecond, write: writeTimeout, idle: 50 * time.Millisecond})
	for what, says := range map[string]string{
		"silence":         "",
		"half a request":  "GET /healthz HTTP/1.1\r\nHost:",
		"a whole request": "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"half a body":     "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n12",
	} {
		conn := a.dial()
		if _, err := io.WriteString(conn, says); err != nil {
			t.Fatal(err)
		}
		a.ends(conn, what)
	}
}

// A reader that stops ends with the time to write: what it asks for again and again is
// more than the kernel takes for it.
func TestReaderThatStops(t *testing.T) {
	a := serveWithin(t, times{read: readTimeout, write: 50 * time.Millisecond, idle: idleTimeout})
	conn := a.dial()
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	asks := strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
	for {
		if _, err := io.WriteString(conn, asks); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Error("the server writes to somebody who does not read")
			}
			return
		}
	}
}

// A profile takes the time that was asked for, which is longer than a request may take
// otherwise, and not any time.
func TestProfilesHaveTheirTime(t *testing.T) {
	a := serveWithin(t, times{read: 500 * time.Millisecond, write: writeTimeout, idle: idleTimeout})
	for _, path := range []string{"/debug/pprof/profile", "/debug/pprof/trace", "/debug/pprof/heap"} {
		began := time.Now()
		status, _, body := a.get(path + "?seconds=1")
		if took := time.Since(began); status != http.StatusOK || len(body) == 0 || took < time.Second {
			t.Errorf("%s: %d with %d bytes after %v", path, status, len(body), took)
		}
		for _, seconds := range []string{"601", "1e300", "Inf"} {
			if status, _, body := a.get(path + "?seconds=" + seconds); status != http.StatusBadRequest || !strings.Contains(body, "10m") {
				t.Errorf("%s of %s seconds: %d, %.80q", path, seconds, status, body)
			}
		}
	}
	if n := a.own()["refused.too_long"]; n != 9 {
		t.Errorf("%d of 9 are counted", n)
	}
}
