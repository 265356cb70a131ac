// Package conformance holds adapters to the guarantees of the gateway's ports. An adapter's
// tests call Logic and Binder, each with a way to open one that has real rules and a real
// store behind it; the suites are the gateways.
//
//	login.go    logins, and what is entered in the directory
//	forward.go  batches of SEND, PUSHACK and READ
//	query.go    pages, and pushes again
package conformance

import (
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/gateway"
	"gannet/internal/hop"
	"gannet/protocol"
)

// Site is logic as an adapter of the gateway's ports reaches it, over an empty store.
type Site struct {
	Logic  gateway.Logic
	Binder gateway.Binder
	Queues int

	// Token makes a token of the user that is good.
	Token func(user uint64) []byte

	// Kicked gives the connections that logic had closed because others replaced them, in
	// order; one may be closed more often than once.
	Kicked func() []hop.Address

	// Away has the directory answer nothing, and answer again.
	Away func(away bool)

	// Close ends the adapter, and logic behind it, as their processes do when they stop.
	Close func()
}

// Open opens a site. It releases it when the test ends.
type Open func(t *testing.T) Site

// patience bounds every wait.
const patience = time.Minute

// world is a test's site.
type world struct {
	t *testing.T
	Site
	conns uint64
}

// run is one story of a suite.
type run struct {
	name  string
	story func(*world)
}

func runAll(t *testing.T, open Open, stories ...run) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) { s.story(&world{t: t, Site: open(t)}) })
	}
}

// Logic holds an adapter of gateway.Logic to its guarantees.
func Logic(t *testing.T, open Open) {
	runAll(t, open,
		run{"logins are answered in order", loginsInOrder},
		run{"a login alone changes nothing", loginAlone},
		run{"the later login replaces the earlier, whenever it enters", laterLoginReplaces},
		run{"entering and leaving again and late", enterAgain},
		run{"a directory that does not answer", directoryAway},
		run{"a batch is answered in order", batchInOrder},
		run{"what is answered, and what only if it failed", whatIsAnswered},
		run{"a batch is lent, its answers are given", batchIsLent},
		run{"a batch again", batchAgain},
		run{"batches of all queues at once", batchesAtOnce},
		run{"batches that no gateway sends", foreignBatches},
		run{"pages of conversations and of messages", pages},
		run{"queries that make no sense", foreignQueries},
		run{"pushes again, oldest first, as many as fit", pushesAgain},
		run{"closing under calls", closedUnderCalls},
	)
}

// Binder holds an adapter of gateway.Binder to its guarantees.
func Binder(t *testing.T, open Open) {
	runAll(t, open,
		run{"those that later logins hold are lost", laterLoginsHold},
		run{"a connection does not replace itself", notItself},
		run{"a directory that does not answer loses nobody", awayLosesNobody},
	)
}

// epoch is that of the gateway which the suites are.
const epoch = 1<<63 | 77

// device makes a connection of a device that has logged in.
func (w *world) device(user, device uint64) hop.Binding {
	w.t.Helper()
	w.conns++
	login := hop.Login{Address: hop.Address{Gateway: epoch, Conn: w.conns}, Hello: protocol.Hello{
		Version: protocol.Version, Token: w.Token(user), Device: device, Platform: 2,
	}}
	welcomes, err := w.Logic.Login(w.t.Context(), []hop.Login{login})
	if err != nil || len(welcomes) != 1 || welcomes[0].Code != 0 || welcomes[0].User != user {
		w.t.Fatalf("login: %+v, %v", welcomes, err)
	}
	return hop.Binding{
		Identity: hop.Identity{Gateway: epoch, Conn: w.conns, User: user, Device: device}, Platform: 2, Number: welcomes[0].Number,
	}
}

// enter enters connections, and gives their codes.
func (w *world) enter(list ...hop.Binding) []protocol.Code {
	w.t.Helper()
	codes, err := w.Logic.Enter(w.t.Context(), list)
	if err != nil || len(codes) != len(list) {
		w.t.Fatalf("entering %d connections: %v, %v", len(list), codes, err)
	}
	return codes
}

// entered enters connections, which have to be let in.
func (w *world) entered(list ...hop.Binding) {
	w.t.Helper()
	for i, code := range w.enter(list...) {
		if code != 0 {
			w.t.Fatalf("connection %d is closed with %v", i, code)
		}
	}
}

// kicked gives the connections that were closed, each once.
func (w *world) kicked() (list []hop.Address) {
	for _, at := range w.Kicked() {
		if !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	return list
}

// wantKicked waits until just these connections have been closed.
func (w *world) wantKicked(want ...hop.Address) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got := w.kicked()
		switch {
		case slices.Equal(got, want):
			return
		case len(got) > len(want) || time.Now().After(deadline):
			w.t.Fatalf("%+v were closed, want %+v", got, want)
		}
	}
}

// closedUnderCalls ends everything while calls are under way. Each call returns; answers
// that come fit their batch, and nothing is said of a message that was not asked for.
func closedUnderCalls(w *world) {
	var callers sync.WaitGroup
	stop, begun := make(chan struct{}), make(chan struct{}, 100)
	for caller := range uint64(4) {
		callers.Go(func() {
			for id := uint64(1); ; id++ {
				b := w.batch(1, 100+caller, w.peer(int(caller)%w.Queues), id)
				answers, err := w.Logic.Forward(w.t.Context(), b)
				if err == nil {
					if err := answers.Check(1); err != nil || answers.Len() != 1 {
						w.t.Errorf("%d answers to one SEND, %v", answers.Len(), err)
					}
				}
				select {
				case begun <- struct{}{}:
				default:
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 20 {
		<-begun
	}
	w.Close()
	close(stop)
	over := make(chan struct{})
	go func() { callers.Wait(); close(over) }()
	select {
	case <-over:
	case <-time.After(patience):
		w.t.Fatal("a call does not return")
	}
}
