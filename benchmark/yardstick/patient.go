package yardstick

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"gannet/benchmark/process"
)

const (
	// patientBuffer is what a patient echo reads at once.
	patientBuffer = 16 << 10

	// acceptPause is how long it rests when it has no files left.
	acceptPause = 10 * time.Millisecond
)

// servePatiently is the echo for clients that do not keep to the rules of the other
// one: any of them may have as much on its way as it likes, and need not read.
func (e *EchoServer) servePatiently(ctx context.Context) error {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	defer plain.Close()
	ready := process.Ready{Listen: plain.Addr().String(), PID: os.Getpid()}
	failed := make(chan error, 2)
	if e.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(e.TLSCert, e.TLSKey)
		if err != nil {
			return fmt.Errorf("benchmark: %w", err)
		}
		secure, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
		if err != nil {
			return fmt.Errorf("benchmark: %w", err)
		}
		defer secure.Close()
		ready.TLS = secure.Addr().String()
		go func() { failed <- echoAll(secure) }()
	}
	go func() { failed <- echoAll(plain) }()
	if err := process.WriteReady(e.ReadyFile, ready); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return fmt.Errorf("benchmark: the listener ended: %w", err)
	case <-ctx.Done():
		return nil // the connections end with the process
	}
}

// echoAll serves everybody until the listener is closed.
func echoAll(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			time.Sleep(acceptPause) // out of files, most likely
		default:
			go echoPatiently(conn)
		}
	}
}

func echoPatiently(conn net.Conn) {
	defer conn.Close()
	for buf := make([]byte, patientBuffer); ; {
		n, err := conn.Read(buf)
		if _, failed := conn.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}
