package scenario

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"gannet/benchmark/attack"
	"gannet/benchmark/yardstick"
)

// These make the test binary one of the yardsticks.
const (
	echoArgument   = "echo-server"
	pausesArgument = "pause-watch"
	bareArgument   = "bare-server"
	liarArgument   = "liar"
	attackArgument = "attacker"
)

// child gives what the test binary is to be, nil for the tests themselves.
func child(args []string) interface {
	Run(ctx context.Context, out, progress io.Writer) error
} {
	if len(args) == 0 {
		return nil
	}
	flags := map[string]string{}
	for i := 1; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	switch args[0] {
	case echoArgument:
		return &yardstick.EchoServer{
			ReadyFile: flags["--ready-file"], Patient: slices.Contains(args, "--patient"), TLSCert: flags["--tls-cert"], TLSKey: flags["--tls-key"],
		}
	case attackArgument:
		seed, err := strconv.ParseUint(flags["--seed"], 10, 64)
		if err != nil {
			panic(err)
		}
		return &attack.Player{
			Name: flags["--name"], Address: flags["--address"], TLSAddress: flags["--tls-address"], Keys: flags["--keys"], Seed: seed,
			Short: slices.Contains(args, "--short"), ReadyFile: flags["--ready-file"], ResultFile: flags["--result-file"],
			Signer: program().Signer,
		}
	case villainArgument: // and what it does
		v := &villain{does: args[1], readyFile: flags["--ready-file"], front: liar{honest: true}}
		for i, a := range args[2:] {
			switch a {
			case "--data":
				v.front.data = args[3+i]
			case "--listen":
				v.front.listen = args[3+i]
			case "--ready-file":
				v.readyFile = args[3+i]
			}
		}
		return v
	case pausesArgument:
		return &yardstick.PauseWatch{ReadyFile: flags["--ready-file"], ResultFile: flags["--result-file"]}
	case bareArgument:
		memtable, err := strconv.Atoi(flags["--memtable"])
		if err != nil {
			panic(err)
		}
		return &yardstick.BareServer{Data: flags["--data"], Listen: flags["--listen"], ReadyFile: flags["--ready-file"], Memtable: memtable}
	case liarArgument:
		return &liar{data: flags["--data"], listen: flags["--listen"], readyFile: flags["--ready-file"]}
	case "--data": // a server, which is a bare one too
		return child(append([]string{bareArgument, "--memtable", "64"}, args...))
	}
	return nil
}

func TestMain(m *testing.M) {
	if c := child(os.Args[1:]); c != nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := c.Run(ctx, io.Discard, io.Discard); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// netpoll's pollers live as long as the process.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"),
		// The libraries of the cluster keep these for the life of the process, and Kitex the
		// connections of the one measurement that it serves here.
		goleak.IgnoreAnyFunction("github.com/patrickmn/go-cache.(*janitor).Run"),
		goleak.IgnoreAnyFunction("github.com/cloudwego/kitex/pkg/remote/trans/gonet.(*transServer).serveConn"),
		goleak.IgnoreAnyFunction("github.com/cloudwego/kitex/client.(*timeoutPool).createWorker.func1"),
		goleak.IgnoreAnyFunction("github.com/cloudwego/kitex/client.(*timeoutPool).createTicker.func1"),
		goleak.IgnoreAnyFunction("github.com/cloudwego/kitex/pkg/utils.(*SharedTicker).Tick"),
		goleak.IgnoreAnyFunction("github.com/cloudwego/kitex/pkg/loadbalance/lbcache.(*BalancerFactory).watcher"),
	)
}

// program is the test binary as a program with all children.
func program() Program {
	return Program{
		EchoCommand: []string{echoArgument}, AttackCommand: []string{attackArgument}, PausesCommand: []string{pausesArgument}, BareCommand: []string{bareArgument},
		Signer: func(string) (func(user uint64) (string, error), error) { return yardstick.BareToken, nil },
	}
}
