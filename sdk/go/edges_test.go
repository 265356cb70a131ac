package gannet

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestStatesHaveNames(t *testing.T) {
	for state, want := range map[State]string{StateIdle: "idle", StateClosed: "closed", 9: "state 9", -1: "state -1"} {
		if have := state.String(); have != want {
			t.Errorf("%d is %q, want %q", int32(state), have, want)
		}
	}
}

func TestANilFileStoreIsRefused(t *testing.T) {
	var none *FileStore
	if _, err := New("127.0.0.1:1", "x", WithStore(none)); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("error %v", err)
	}
	if c, err := New("127.0.0.1:1", "x", WithStore(nil)); err != nil {
		t.Errorf("no store at all: %v", err)
	} else if err := c.Close(testContext(t)); err != nil {
		t.Error(err)
	}
}

// An outcome that is known is told, however the context is.
func TestTheOutcomeGoesBeforeTheContext(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 1)
	sent := post(t, c, User(2), "x")
	<-sent.Done()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // a choice at random fails one of so many
		if ack, err := sent.Wait(over); err != nil || ack.Seq != 1 {
			t.Fatalf("%+v, %v", ack, err)
		}
	}
}

// Of an outcome and the end of the context at once Send, Flush and the questions to the
// server give the outcome.
func TestOutcomeOr(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	outcome := make(chan int, 1)
	for range 100 { // a choice at random fails one of so many
		outcome <- 7
		if v, err := outcomeOr(over, outcome); v != 7 || err != nil {
			t.Fatalf("%d, %v", v, err)
		}
	}
	if _, err := outcomeOr(over, outcome); !errors.Is(err, context.Canceled) {
		t.Errorf("without an outcome: %v", err)
	}
}

// Above an id of the app there is room for those of the client.
func TestAnIDLeavesRoomForTheNext(t *testing.T) {
	s := newServer(t)
	c := join(t, s, 1, WithStore(openStore(t, t.TempDir())))
	d := Text("x")
	for _, id := range []uint64{math.MaxUint64, MaxID + 1} {
		d.ID = id
		if _, err := c.Send(testContext(t), User(2), d); !errors.Is(err, ErrID) {
			t.Errorf("id %d: %v", id, err)
		}
	}
	d.ID = MaxID
	if ack, err := c.Send(testContext(t), User(2), d); err != nil || ack.ID != MaxID {
		t.Errorf("the highest id: %+v, %v", ack, err)
	}
	if ack, err := c.Send(testContext(t), User(2), Text("next")); err != nil || ack.ID != MaxID+1 {
		t.Errorf("the next one: %+v, %v", ack, err)
	}
}
