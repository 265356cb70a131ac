package operate

import (
	"container/list"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the debug endpoint. It shares the open files of the process with the store, which
// cannot work without them. So the endpoint may use few of them: enough for a few people and
// their monitoring. They come out of the files that are kept apart for everything but connections
// of clients.
const (
	// maxConnections bounds the open connections. For one more, the connection that has been
	// without a request for longest is closed, so that somebody who opens connections and stays
	// silent cannot keep health checks out. If all connections are being served, the new one is
	// closed.
	maxConnections = 32

	// readTimeout bounds the arrival of a request: from its first byte, or the end of the request
	// before, to the end of its body. Nothing here reads a body.
	readTimeout = 10 * time.Second

	// writeTimeout bounds an answer from there on: the longest is the stacks of all
	// goroutines, some ten MB of a busy server. A profile has its own time on top.
	writeTimeout = time.Minute

	// idleTimeout is how long a connection may wait for its next request. Monitoring that asks
	// once a minute keeps its connection.
	idleTimeout = 75 * time.Second

	// maxHeader bounds the head of a request. The default would allow each a megabyte.
	maxHeader = 16 << 10

	// maxProfile is the longest profile, trace or difference that is made.
	maxProfile = 10 * time.Minute
)

// times are those of them that tests shorten.
type times struct{ read, write, idle time.Duration }

// limits enforces the limits of a Server and counts refusals.
type limits struct {
	times times
	max   int64
	open  atomic.Int64

	mu    sync.Mutex
	quiet list.List // of *countedConn that are not being served, oldest first

	accepted, gaveWay, full, tooLong atomic.Uint64

	log        *slog.Logger
	said, errs Seldom
}

// stats gives the counters by name. They rise, but for "open", which is how many
// connections there are.
func (l *limits) stats() map[string]uint64 {
	return map[string]uint64{
		"open":             uint64(l.open.Load()),
		"accepted":         l.accepted.Load(),
		"refused.gave_way": l.gaveWay.Load(),
		"refused.full":     l.full.Load(),
		"refused.too_long": l.tooLong.Load(),
	}
}

// limitedListener accepts no more connections than the limits allow.
type limitedListener struct {
	net.Listener
	limits *limits
}

// Accept implements net.Listener.
func (l limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.limits.enter() {
			l.limits.accepted.Add(1)
			return &countedConn{Conn: conn, limits: l.limits}, nil
		}
		if l.limits.full.Add(1); l.limits.said.Now() {
			l.limits.log.Warn("operate: the debug endpoint serves as many connections as it may have, others are refused", "connections", l.limits.max, "remote", conn.RemoteAddr().String())
		}
		_ = conn.Close()
	}
}

// enter takes a place for a connection, if need be by closing another one. It returns false if
// there is no place.
func (l *limits) enter() bool {
	if l.open.Add(1) <= l.max {
		return true
	}
	if c := l.oldest(); c != nil {
		l.gaveWay.Add(1)
		_ = c.Close()
		return true
	}
	l.open.Add(-1)
	return false
}

// oldest removes the connection that has been without a request for longest from the list and
// gives it. It returns nil if all are being served.
func (l *limits) oldest() *countedConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.quiet.Front()
	if first == nil {
		return nil
	}
	c := l.quiet.Remove(first).(*countedConn)
	c.place = nil
	return c
}

// follow is net/http's hook: a connection is new until the head of its first request is
// there, and idle between an answer and the next one.
func (l *limits) follow(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*countedConn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place != nil {
		l.quiet.Remove(c.place)
		c.place = nil
	}
	if state == http.StateNew || state == http.StateIdle {
		c.place = l.quiet.PushBack(c)
	}
}

// countedConn gives its place back once, when it is closed.
type countedConn struct {
	net.Conn
	limits *limits
	once   sync.Once
	place  *list.Element // in limits.quiet; limits.mu guards it
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.limits.open.Add(-1) })
	return err
}

// timed lets a profile handler take as many seconds as the request asks for. The timeouts of a
// request would cut it: net/http ends a handler when the time to read is over. pprof itself
// extends only the time to write.
func (l *limits) timed(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		lasts := profileTime(r)
		if lasts > maxProfile {
			l.tooLong.Add(1)
			http.Error(w, fmt.Sprintf("a profile takes %v at most", maxProfile), http.StatusBadRequest)
			return
		}
		if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(lasts + l.times.read)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h(w, r)
	}
}

// profileTime gives how long pprof takes for a request: the value of seconds, or up to half a
// minute if that is missing or invalid.
func profileTime(r *http.Request) time.Duration {
	seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64)
	if err != nil || !(seconds > 0) {
		return 30 * time.Second
	}
	return time.Duration(min(seconds, maxProfile.Seconds()+1) * float64(time.Second))
}

// errorLog gives what net/http has to say, which is about peers, to the log of the
// process.
func (l *limits) errorLog() *log.Logger { return log.New((*httpLog)(l), "", 0) }

type httpLog limits

// Write implements io.Writer.
func (l *httpLog) Write(line []byte) (int, error) {
	if l.errs.Now() {
		l.log.Warn("operate: the debug endpoint: " + strings.TrimSpace(string(line)))
	}
	return len(line), nil
}
