package gannet

import (
	"net"
	"time"
)

const (
	// writeTimeout bounds a write: a peer that takes no byte for this long is
	// dead. It is renewed when half of it has passed, so a write fails after
	// half of it at the earliest.
	writeTimeout = 10 * time.Second

	// keepBuffer is the largest write buffer that is kept for the next write.
	keepBuffer = 64 << 10
)

// writer is the sending half of the connection, under Client.mu. There is no
// goroutine for it: whoever has added a frame and finds nobody writing writes
// until nothing is left, and what others add meanwhile goes along in one piece.
type writer struct {
	conn     net.Conn // nil while nobody is logged in
	pending  []byte   // encoded frames
	spare    []byte   // the other buffer
	flushing bool
	deadline time.Time // the write deadline of conn
	last     time.Time // when something was written last
}

// flush writes what is pending, unless somebody is writing already or the
// reader will at the end of its turn. The caller holds mu, which is released
// during the write.
func (c *Client) flush() {
	w := &c.wire
	if w.flushing || c.corked.Load() {
		return
	}
	w.flushing = true
	for w.conn != nil && len(w.pending) > 0 {
		conn, buf := w.conn, w.pending
		w.pending, w.spare = w.spare[:0], nil
		w.last = time.Now()
		if w.deadline.Sub(w.last) < writeTimeout/2 {
			w.deadline = w.last.Add(writeTimeout)
			conn.SetWriteDeadline(w.deadline)
		}
		c.mu.Unlock()
		if _, err := conn.Write(buf); err != nil {
			conn.Close() // the reader sees it and connects anew
		}
		c.mu.Lock()
		if cap(buf) <= keepBuffer {
			w.spare = buf[:0]
		}
	}
	w.flushing = false
}

// attach makes conn the one that is written to.
func (w *writer) attach(conn net.Conn, now time.Time) {
	w.conn = conn
	w.pending = w.pending[:0]
	w.deadline = time.Time{}
	w.last = now
}

// detach forgets the connection and what was not written to it.
func (w *writer) detach() {
	w.conn = nil
	w.pending = nil
	w.spare = nil
}

// shrink gives back the buffers of a connection that has been quiet.
func (w *writer) shrink() {
	if !w.flushing && len(w.pending) == 0 {
		w.pending, w.spare = nil, nil
	}
}

// counter gives request numbers, never 0.
type counter uint32

func (n *counter) next() uint32 {
	*n++
	if *n == 0 {
		*n = 1
	}
	return uint32(*n)
}
