package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// A connection whose handshake ends while the gateway stops, or later, is not
// forgotten.
func TestConnectionThatComesAfterStop(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	if err := st.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := &heldSocket{down: make(chan struct{}, 1)}
	s := st.open(b)
	<-b.down
	s.ended()
	if n := st.stat("close.draining"); n != 1 {
		t.Errorf("%d counted", n)
	}
}

// Under a load in which a lane is never without a batch, Stop takes no longer than
// what it found takes, and every SEND gets its answer or the CLOSE.
func TestStopUnderLoad(t *testing.T) {
	l := newLogic()
	l.answer = ackSend
	st := newStage(t, l, Config{Lanes: 1})
	stopping, over := make(chan struct{}), make(chan struct{})
	feeder := st.login(9)
	l.within(func(context.Context) { // a batch ends when there is another
		_, _ = feeder.Write(protocol.Cursor{Target: direct(9), Seq: 1}.AppendPushAck(nil, 0)) // in vain after the CLOSE
		for st.waiting(0) == 0 {
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	var clients sync.WaitGroup
	for user := uint64(1); user <= 3; user++ {
		p := st.login(user)
		clients.Go(func() {
			const window = 8
			sent, answered := uint32(0), uint32(0)
			for {
				for ; sent < answered+window; sent++ {
					if _, err := p.Write(sendFrame(9, uint64(sent)+1, "x")); err != nil {
						break // the CLOSE is on its way
					}
				}
				f, err := p.read()
				switch {
				case err == nil && f.Type == protocol.TypeSendAck && f.Request == answered+1:
					if answered++; answered == 100 && user == 1 {
						close(stopping)
					}
				case err == nil && f.Type == protocol.TypeClose:
					return
				default:
					t.Errorf("after %d answers: %#x to %d, %v", answered, f.Type, f.Request, err)
					return
				}
			}
		})
	}
	<-stopping
	closing := make(chan struct{})
	go func() { // once everybody has the CLOSE, no frame ends the last batch
		defer close(closing)
		clients.Wait()
		close(over)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := st.Stop(ctx); err != nil {
		t.Error(err)
	}
	<-closing
}

// A logic that hangs, whether it heeds its context or not, keeps nobody: clients
// get their CLOSE, and Stop ends with its time.
func TestStopWhileLogicHangs(t *testing.T) {
	type call struct {
		name string
		does func(hang func() error) misdeed
		meet func(st *stage, p *peer)
	}
	send := func(st *stage, p *peer) { p.send(sendFrame(2, 1, "x")) }
	for _, c := range []call{
		{"Forward", func(hang func() error) misdeed {
			return misdeed{forward: func(*hop.Forward) (hop.Answers, error) { return hop.Answers{}, hang() }}
		}, send},
		{"Query", func(hang func() error) misdeed {
			return misdeed{query: func(*hop.Query) ([]byte, error) { return nil, hang() }}
		}, func(st *stage, p *peer) { p.send(protocol.Sync{}.AppendFrame(nil, 1)) }},
		{"Login", func(hang func() error) misdeed {
			return misdeed{login: func(*hop.Login) (hop.Welcome, error) { return hop.Welcome{}, hang() }}
		}, func(st *stage, p *peer) { st.dial().send(hello(2)) }},
		{"Logout", func(hang func() error) misdeed {
			return misdeed{logout: func([]hop.Binding) error { return hang() }}
		}, func(st *stage, p *peer) {
			other := st.login(2)
			other.Close()
		}},
		{"Redeliver", func(hang func() error) misdeed {
			return misdeed{redeliver: func(*hop.Redelivery) ([]byte, error) { return nil, hang() }}
		}, func(st *stage, p *peer) {
			st.push([]delivery{{pushFrame(2, 1, 1, 1), []uint64{p.conn}}})
			st.turn(protocol.PushAckTimeout + tick)
		}},
	} {
		for _, heeds := range []bool{true, false} {
			name := c.name + " and heeds its context"
			if !heeds {
				name = c.name + " for ever"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLogic()
				st := newStage(t, l, Config{Lanes: 1})
				p := st.login(1)
				hangs, forever := make(chan struct{}, 10), make(chan struct{})
				defer close(forever)
				l.does(c.does(func() error {
					hangs <- struct{}{}
					if heeds {
						<-st.ctx.Done() // what logic is given is this, or made of it
						return st.ctx.Err()
					}
					<-forever
					return errHostile
				}))
				c.meet(st, p)
				<-hangs
				ctx, cancel := context.WithCancel(t.Context())
				stopped := make(chan error, 1)
				go func() { stopped <- st.Stop(ctx) }()
				if c.name == "Forward" {
					st.eventually("it stops", st.isStopping)
					cancel()
				}
				if code := p.closed(); code != protocol.CodeDraining {
					t.Errorf("closed with %v", code)
				}
				cancel()
				err := <-stopped
				calm := heeds && c.name != "Forward" // then everything may have ended all the same
				if !errors.Is(err, context.Canceled) && !(calm && err == nil) {
					t.Errorf("stopped with %v", err)
				}
				if clings := err != nil && strings.Contains(err.Error(), "let go"); clings != (!heeds && c.name != "Forward") {
					t.Errorf("logic is said to cling: %v", err)
				}
			})
		}
	}
}

func (st *stage) isStopping() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.stopping
}

// What logic is given ends when the gateway does.
func TestCallsGetAContextOfTheGateway(t *testing.T) {
	g := build(Config{Logic: newLogic(), Lanes: 1})
	ctx := g.lanes[0].ctx
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ctx.Err() == nil {
		t.Error("the context of a lane outlives the gateway")
	}
}

// A login that logic ends only when the connection is gone, and the gateway nearly
// so, is undone before Stop returns.
func TestStopUndoesLogins(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{})
	asked, let := make(chan struct{}), make(chan struct{})
	l.does(misdeed{
		login: func(in *hop.Login) (hop.Welcome, error) { return letIn(in, 3), nil },
		enter: func([]hop.Binding) ([]protocol.Code, error) {
			close(asked)
			<-let
			return []protocol.Code{0}, nil
		},
	})
	p := st.dial()
	p.send(hello(5))
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- st.Stop(t.Context()) }()
	if code := p.closed(); code != protocol.CodeDraining {
		t.Errorf("closed with %v", code)
	}
	<-st.Gateway.stop
	close(let)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if len(l.loggedOut) != 1 || l.loggedOut[0].User != 5 || l.loggedOut[0].Device != 5 || l.loggedOut[0].Number != 3 {
		t.Errorf("logged out: %+v", l.loggedOut)
	}
}

// Whoever was let in is logged out when the gateway stops, before Stop returns.
func TestStopTellsLogicOfEverybody(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{})
	want := map[uint64]uint64{}
	for user := uint64(1); user <= 50; user++ {
		want[st.login(user).conn] = user
	}
	if err := st.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, b := range l.loggedOut {
		if want[b.Conn] != b.User || b.Device != b.User || b.Gateway != st.Epoch() || b.Number != 1 {
			t.Errorf("logged out: %+v", b)
		}
		delete(want, b.Conn)
	}
	if len(want) > 0 {
		t.Errorf("%d were not logged out", len(want))
	}
}

// Those who are sent away come back spread, many over a longer time than few.
func TestBackWithin(t *testing.T) {
	for clients, within := range map[int]time.Duration{0: drainRetry, 1000: drainRetry, 50_000: 10 * time.Second, 1_000_000: maxRetry} {
		if got := backWithin(clients); got != within {
			t.Errorf("%d clients come back within %v, want %v", clients, got, within)
		}
		late := uint32(0)
		for range 200 {
			late = max(late, delayWithin(within))
		}
		if got := time.Duration(late) * time.Millisecond; got < within/2 || got >= within {
			t.Errorf("the last of 200 who are spread over %v comes after %v", within, got)
		}
	}
}
