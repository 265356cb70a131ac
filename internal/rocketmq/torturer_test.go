//go:build cluster

package rocketmq

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"gannet/internal/chain"
)

// torturer is what a writer process is told, in an environment variable.
type torturer struct {
	NameServer string
	Instance   string
	Topic      string
	Broker     string
	From       []known // of each queue
}

// known is what is known of a queue: a mark that is durable, and the highest seq as of it.
type known struct {
	Mark chain.Mark
	Head uint64
}

const torturerVariable = "GANNET_TORTURER"

func TestMain(m *testing.M) {
	if told := os.Getenv(torturerVariable); told != "" {
		var r torturer
		if err := json.Unmarshal([]byte(told), &r); err != nil {
			panic(err)
		}
		r.run()
		return
	}
	os.Exit(m.Run())
}

// tell writes a line for the test: "acked QUEUE OFFSET WRITER NUMBER HEAD TOKENS..." or
// "wrong ...". A line is one write, so that a kill leaves no half of another's.
var tell = func() func(format string, args ...any) {
	var mu sync.Mutex
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
}()

// run writes all queues, in contention with others, until it is killed.
func (r *torturer) run() {
	places := map[chain.Queue]Place{}
	for n := range r.From {
		places[chain.Queue{Class: chain.Chat, Number: n}] = Place{Topic: r.Topic, Broker: r.Broker, Queue: n}
	}
	var c *Client
	for c == nil {
		var err error
		c, err = Open(context.Background(), Options{NameServers: []string{r.NameServer}, Instance: r.Instance, Places: places, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			time.Sleep(100 * time.Millisecond) // the broker may be away
		}
	}
	var all sync.WaitGroup
	for n, from := range r.From {
		all.Go(func() {
			for {
				from = own(c, n, from)
			}
		})
	}
	all.Wait()
}

// own begins from what is known, takes the queue over and writes it until somebody else
// does. It gives what is known then.
func own(c *Client, queue int, from known) known {
	head := from.Head
	took := func(body []byte) {
		for ; len(body) > 0; body = body[16:] {
			if head++; binary.BigEndian.Uint64(body) != head {
				tell("wrong queue %d: seq %d where %d should be", queue, binary.BigEndian.Uint64(body), head)
			}
		}
	}
	w := chain.NewWriter(chain.Options{
		Stream: c, Queue: chain.Queue{Class: chain.Chat, Number: queue}, Registry: func() uint64 { return 1 },
		Take: func(r *chain.Record) error { took(r.Body); return nil },
	}, from.Mark)
	tokens := []uint64{}
	acked := func(mark chain.Mark, last uint64) {
		tell("acked %d %d %d %d %d %d", queue, mark.Offset, mark.Writer, mark.Number, last, tokens)
	}
	for doubtful := false; ; {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		doubt, err := w.TakeOver(ctx)
		cancel()
		if err != nil {
			if errors.Is(err, chain.ErrLost) || errors.Is(err, chain.ErrRetention) || errors.Is(err, chain.ErrLater) {
				tell("wrong queue %d from %v: TakeOver says %v", queue, from.Mark, err)
				select {}
			}
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
			continue
		}
		if doubtful && doubt.Counts {
			acked(doubt.Mark, 0)
		}
		from = known{w.Last(), head}
		for {
			tokens = tokens[:0]
			var body []byte
			for i := range 1 + rand.IntN(3) {
				token := rand.Uint64()
				tokens = append(tokens, token)
				body = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(body, head+uint64(i)+1), token)
			}
			mark, err := w.Append(context.Background(), body)
			if err == nil {
				took(body)
				acked(mark, head)
				from = known{mark, head}
				if rand.IntN(30) == 0 {
					time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
				}
				continue
			}
			if errors.Is(err, chain.ErrRefused) {
				time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
				continue
			}
			if doubtful = errors.Is(err, chain.ErrUnknown); doubtful {
				break
			}
			if !errors.Is(err, chain.ErrMoved) {
				tell("wrong queue %d: Append says %v", queue, err)
			}
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			return from
		}
	}
}
