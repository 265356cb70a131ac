package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// villainArgument makes the test binary a villain.
const villainArgument = "villain"

// villain is a bare server that does one of the things that gannet bench hostile is to
// find: "leak", "log", "fail", "slow" or "lie"; anything else is nothing.
type villain struct {
	does      string
	readyFile string
	front     liar
}

// Run serves until ctx is done.
func (v *villain) Run(ctx context.Context, out, progress io.Writer) error {
	v.front.readyFile = v.readyFile
	v.front.honest = v.does != "lie"
	if v.does == "slow" {
		v.front.slow = 1500 * time.Millisecond
	}
	debug, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer debug.Close()
	v.front.debug = debug.Addr().String()
	var asked atomic.Uint64
	var counted atomic.Uint64
	go http.Serve(debug, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/debug/vars" {
			n := counted.Add(7)
			_, _ = fmt.Fprintf(w, `{"gateway":{"accepted":%d,"connections":3},"store":"fine"}`, n)
			return
		}
		live := uint64(5e6)
		if v.does == "leak" {
			live += asked.Add(1) * 20e6
		}
		_ = json.NewEncoder(w).Encode(memory{HeapAlloc: live, RSS: 30e6})
	}))
	if v.does == "log" {
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				fmt.Fprintf(os.Stderr, "time=x level=WARN msg=\"connection %d is odd\" peer=y\n", i)
				time.Sleep(10 * time.Millisecond)
			}
		}()
	}
	if err := v.front.Run(ctx, out, progress); err != nil {
		return err
	}
	if v.does == "fail" {
		return fmt.Errorf("it is a villain")
	}
	return nil
}
