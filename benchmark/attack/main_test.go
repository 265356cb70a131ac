package attack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// playerArgument makes the test binary a Player.
const playerArgument = "player"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == playerArgument {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := player(os.Args[2:]).Run(ctx, io.Discard, io.Discard); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// netpoll's pollers live as long as the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"))
}

// player reads the flags of a Player.
func player(args []string) *Player {
	p := &Player{}
	for ; len(args) > 0; args = args[1:] {
		if args[0] == "--short" {
			p.Short = true
			continue
		}
		switch value := args[1]; args[0] {
		case "--name":
			p.Name = value
		case "--address":
			p.Address = value
		case "--seed":
			p.Seed, _ = strconv.ParseUint(value, 10, 64)
		case "--ready-file":
			p.ReadyFile = value
		case "--result-file":
			p.ResultFile = value
		}
		args = args[1:]
	}
	return p
}
