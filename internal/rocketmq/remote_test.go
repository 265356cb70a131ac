package rocketmq

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// encoded is an answer with the head, as it travels.
func encoded(head, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	return append(append(b, head...), body...)
}

func TestReplies(t *testing.T) {
	good := encoded(`{"code":3,"opaque":9,"remark":"why","extFields":{"offset":"12"}}`, "body")
	a, err := readReply(bytes.NewReader(good), 9)
	if err != nil || a.Code != 3 || a.Remark != "why" || a.Fields["offset"] != "12" || string(a.body) != "body" {
		t.Errorf("read as %+v (%v)", a, err)
	}
	for n := range good {
		if _, err := readReply(bytes.NewReader(good[:n]), 9); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	for name, b := range map[string][]byte{
		"an answer to another call": encoded(`{"code":0,"opaque":8}`, ""),
		"no JSON":                   encoded(`{"code":0,`, ""),
		"a head past the end":       {0, 0, 0, 8, 0, 0, 0, 5, '{', '}', 0, 0},
		"another serialization":     {0, 0, 0, 6, 1, 0, 0, 2, '{', '}'},
		"no room for a head":        {0, 0, 0, 3, 0, 0, 0, 0},
		"too long":                  {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 2},
	} {
		if a, err := readReply(bytes.NewReader(b), 9); err == nil {
			t.Errorf("%s is read as %+v", name, a)
		}
	}
}

// TestCallsEnd: a server that says nothing, or has closed a connection that lay idle,
// holds nobody up.
func TestCallsEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conns := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	r := newRemote()
	defer r.close()
	answer := func(c net.Conn, opaque string) {
		var b [4]byte
		io.ReadFull(c, b[:])
		io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(b[:])))
		c.Write(encoded(`{"code":0,"opaque":`+opaque+`}`, ""))
	}

	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.call(short, l.Addr().String(), getMinOffset, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call without an answer ends with %v", err)
	}
	(<-conns).Close()

	call := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := r.call(ctx, l.Addr().String(), getMinOffset, nil, nil)
		return err
	}
	var first net.Conn
	go func() { first = <-conns; answer(first, "2"); first.Close() }()
	if err := call(); err != nil {
		t.Fatal(err)
	}
	go func() { answer(<-conns, "4") }() // the first try of the call goes to the closed connection
	if err := call(); err != nil {
		t.Errorf("after a connection was closed a call ends with %v", err)
	}
}
