package benchmark

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// echoArgument makes the test binary an EchoServer.
const echoArgument = "echo-server"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == echoArgument {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		server := EchoServer{ReadyFile: os.Args[3]}
		if err := server.Run(ctx, io.Discard, io.Discard); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// netpoll's pollers live as long as the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"))
}
