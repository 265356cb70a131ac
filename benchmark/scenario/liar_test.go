package scenario

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gannet/benchmark/process"
	"gannet/benchmark/yardstick"
	"gannet/protocol"
)

// liar is a bare server that acks two messages of each conversation under one seq.
type liar struct {
	data, listen, readyFile string

	honest bool
	slow   time.Duration // how late the login probe hears anything
	debug  string
}

// Run serves until ctx is done.
func (l *liar) Run(ctx context.Context, out, progress io.Writer) error {
	behind := filepath.Join(l.data, "ready")
	if err := os.MkdirAll(l.data, 0o700); err != nil {
		return err
	}
	_ = os.Remove(behind) // of an earlier life
	honest := yardstick.BareServer{Data: l.data, Listen: "127.0.0.1:0", ReadyFile: behind}
	own, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := process.Start(ctx, process.Command{Executable: own, Args: []string{
		bareArgument, "--memtable", "64", "--data", honest.Data, "--listen", honest.Listen, "--ready-file", behind,
	}}, behind)
	if err != nil {
		return err
	}
	defer p.Kill()
	front, err := net.Listen("tcp", l.listen)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := front.Accept()
			if err != nil {
				return
			}
			go l.serve(conn, p.Listen)
		}
	}()
	if err := process.WriteReady(l.readyFile, process.Ready{Listen: front.Addr().String(), PID: os.Getpid(), Debug: l.debug}); err != nil {
		return err
	}
	<-ctx.Done()
	return front.Close()
}

// serve passes everything on, but for the acks that it changes.
func (l *liar) serve(client net.Conn, address string) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		_ = client.Close()
		return
	}
	closeBoth := sync.OnceFunc(func() {
		_ = client.Close()
		_ = server.Close()
	})
	go func() {
		_, _ = io.Copy(server, client)
		closeBoth()
	}()
	defer closeBoth()
	if from, _, err := net.SplitHostPort(client.RemoteAddr().String()); err == nil && from == loginAddress.String() {
		time.Sleep(l.slow)
	}
	var in, out []byte
	for buffer := make([]byte, 64<<10); ; {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		in, out = append(in, buffer[:n]...), out[:0]
		for {
			f, taken, err := protocol.Split(in, protocol.MaxFrame)
			if err != nil {
				return
			}
			if taken == 0 {
				break
			}
			var ack protocol.SendAck
			if !l.honest && f.Type == protocol.TypeSendAck && ack.Decode(f.Payload) == nil && ack.Seq%2 == 0 {
				ack.Seq--
				out = ack.AppendFrame(out, f.Request)
			} else {
				out = append(out, in[:taken]...)
			}
			in = in[taken:]
		}
		if _, err := client.Write(out); err != nil {
			return
		}
	}
}
