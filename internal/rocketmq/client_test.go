//go:build cluster

package rocketmq

import (
	"context"
	"errors"
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
)

func TestStream(t *testing.T) {
	const n = chaintest.Stories + 1
	address := server(t)
	c := open(t, address, topic(t, address, n))
	chaintest.TestStream(t, chaintest.Setup{Stream: c, Queues: queues(n)})
}

func TestTopics(t *testing.T) {
	address := server(t)
	places := topic(t, address, 4)
	place := places[queues(1)[0]]
	again := func(n int) error {
		return MakeTopic(t.Context(), []string{address}, place.Broker, place.Topic, n)
	}
	if err := again(4); err != nil {
		t.Errorf("making it again: %v", err)
	}
	if err := again(6); err != nil {
		t.Errorf("making it larger: %v", err)
	}
	if err := again(5); err == nil {
		t.Error("it can be made smaller")
	}
	if err := MakeTopic(t.Context(), []string{address}, place.Broker, "not a name!", 1); err == nil {
		t.Error("the broker refuses a name, and nobody says so")
	}
	if err := MakeTopic(t.Context(), []string{address}, "no such broker", place.Topic, 1); err == nil {
		t.Error("a broker that does not exist has a topic")
	}
}

// TestOpenLooks: a place that does not exist is an error at once, not one of the first
// append.
func TestOpenLooks(t *testing.T) {
	address := server(t)
	places := topic(t, address, 2)
	good := places[queues(1)[0]]
	for name, place := range map[string]Place{
		"no such topic":  {Topic: "nowhere", Broker: good.Broker},
		"no such broker": {Topic: good.Topic, Broker: "nobody"},
		"no such queue":  {Topic: good.Topic, Broker: good.Broker, Queue: 2},
	} {
		c, err := Open(t.Context(), Options{NameServers: []string{address}, Instance: "look", Places: map[chain.Queue]Place{queues(1)[0]: place}})
		if err == nil {
			c.Close()
			t.Errorf("%s: it opens", name)
		}
	}
	c := open(t, address, places)
	if _, err := c.Append(t.Context(), chain.Queue{Class: chain.System, Number: 0}, []byte("x")); !errors.Is(err, chain.ErrRefused) {
		t.Errorf("a queue that lies nowhere: %v", err)
	}
}

// TestWriters: a writer, another one that takes its queue, and a reader, on a broker.
func TestWriters(t *testing.T) {
	address := server(t)
	c := open(t, address, topic(t, address, 1))
	queue := queues(1)[0]
	var took int
	writer := func() *chain.Writer {
		return chain.NewWriter(chain.Options{Stream: c, Queue: queue, Registry: func() uint64 { return 1 }, Take: func(*chain.Record) error { took++; return nil }}, chain.Beginning)
	}
	a, b := writer(), writer()
	var want []chain.Mark
	for round := range 5 {
		w := a
		if round%2 == 1 {
			w = b
		}
		if _, err := w.TakeOver(t.Context()); err != nil {
			t.Fatal(err)
		}
		want = append(want, w.Last())
		for range 20 {
			mark, err := w.Append(t.Context(), []byte("entries"))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, mark)
		}
	}
	if _, err := b.Append(t.Context(), []byte("late")); !errors.Is(err, chain.ErrMoved) {
		t.Errorf("whoever lost the queue is told %v", err)
	}
	var got []chain.Mark
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	err := chain.NewReader(c, queue, chain.Beginning).ReadTo(ctx, want[len(want)-1].Offset+1, func(r *chain.Record) error {
		got = append(got, r.Mark)
		return nil
	})
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d records count (%v), want %d", len(got), err, len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("record %d is %v, want %v", i, got[i], want[i])
		}
	}
}
