package yardstick

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"gannet/benchmark/process"
)

// These make the test binary an EchoServer and a PauseWatch.
const (
	echoArgument   = "echo-server"
	pausesArgument = "pause-watch"
)

func TestMain(m *testing.M) {
	var child interface {
		Run(ctx context.Context, out, progress io.Writer) error
	}
	switch {
	case len(os.Args) == 4 && os.Args[1] == echoArgument:
		child = &EchoServer{ReadyFile: os.Args[3]}
	case len(os.Args) == 6 && os.Args[1] == pausesArgument:
		child = &PauseWatch{ReadyFile: os.Args[3], ResultFile: os.Args[5]}
	}
	if child != nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := child.Run(ctx, io.Discard, io.Discard); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// netpoll's pollers live as long as the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"))
}

// child is the test binary as one of the children.
func child(t *testing.T, argument string) process.Command {
	t.Helper()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return process.Command{Executable: own, Args: []string{argument}}
}
