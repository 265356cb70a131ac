package gannet_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"gannet/sdk/go"
	"gannet/sdk/go/gannettest"
)

// example is what an example has where a test has its testing.T.
type example struct {
	testing.TB
	cleanups []func()
}

func (e *example) Helper()                   {}
func (e *example) Output() io.Writer         { return io.Discard }
func (e *example) Cleanup(f func())          { e.cleanups = append(e.cleanups, f) }
func (e *example) Errorf(s string, a ...any) { fmt.Printf(s+"\n", a...) }
func (e *example) Fatalf(s string, a ...any) { panic(fmt.Sprintf(s, a...)) }

func (e *example) TempDir() string {
	dir, err := os.MkdirTemp("", "gannet-example-")
	if err != nil {
		panic(err)
	}
	e.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start starts a server for an example, and a context that bounds it; stop ends both.
func start() (s *gannettest.Server, ctx context.Context, stop func()) {
	e := new(example)
	s = gannettest.Start(e)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	return s, ctx, func() {
		cancel()
		for i := len(e.cleanups) - 1; i >= 0; i-- {
			e.cleanups[i]()
		}
	}
}

// say has a user send texts to another one.
func say(ctx context.Context, s *gannettest.Server, from, to uint64, texts ...string) {
	c, err := gannet.Dial(ctx, s.Address(), s.Token(from))
	if err != nil {
		panic(err)
	}
	defer c.Close(ctx)
	for _, text := range texts {
		if _, err := c.Send(ctx, gannet.User(to), gannet.Text(text)); err != nil {
			panic(err)
		}
	}
}
