//go:build cluster

package rocketmq

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

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

// TestOpenLooks: a broker that is not there is an error at once, not one of the first append. A
// topic that a broker does not have, or has too few queues of, is one of those queues alone, and
// they can be used as soon as it is there.
func TestOpenLooks(t *testing.T) {
	address := server(t)
	places, other := topic(t, address, 2), topic(t, address, 1)
	queue := queues(3)
	good := places[queue[0]]
	look := func(place Place) (*Client, error) {
		return Open(t.Context(), Options{NameServers: []string{address}, Instance: rand.Text(), Places: map[chain.Queue]Place{queue[2]: place, queue[0]: good}})
	}
	if c, err := look(Place{Topic: good.Topic, Broker: "nobody"}); err == nil {
		c.Close()
		t.Error("with a broker that is not there it opens")
	}
	for _, c := range []struct {
		what    string
		missing Place
		queues  int
	}{
		{"no such topic", Place{Topic: "nowhere-" + rand.Text(), Broker: good.Broker}, 1},
		{"no such queue", Place{Topic: other[queue[0]].Topic, Broker: good.Broker, Queue: 2}, 3},
	} {
		check := func() error {
			return CheckTopic(t.Context(), []string{address}, good.Broker, c.missing.Topic, c.queues)
		}
		if err := check(); !errors.Is(err, chain.ErrNoQueue) {
			t.Errorf("%s: looking for it gives %v", c.what, err)
		}
		client, err := look(c.missing)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if _, err := client.Append(t.Context(), queue[0], []byte("x")); err != nil {
			t.Errorf("%s: a queue that is there: %v", c.what, err)
		}
		if _, err := client.Append(t.Context(), queue[2], []byte("x")); c.queues == 1 && !errors.Is(err, chain.ErrRefused) {
			t.Errorf("%s: it takes a record, %v", c.what, err)
		}
		if _, err := client.Pull(t.Context(), queue[2], 0, 1); c.queues == 1 && !errors.Is(err, chain.ErrNoQueue) {
			t.Errorf("%s: it is pulled from, %v", c.what, err)
		}
		if err := MakeTopic(t.Context(), []string{address}, good.Broker, c.missing.Topic, c.queues); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeTopic(t, address, good.Broker, c.missing.Topic) })
		if err := check(); err != nil {
			t.Errorf("%s: when it was made %v", c.what, err)
		}
		for deadline := time.Now().Add(patient); ; time.Sleep(100 * time.Millisecond) {
			if _, err = client.Append(t.Context(), queue[2], []byte("x")); err == nil || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			t.Errorf("%s: when it was made it does not take a record: %v", c.what, err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := CheckTopic(t.Context(), []string{address}, "nobody", good.Topic, 1); err == nil || errors.Is(err, chain.ErrNoQueue) {
		t.Errorf("of a broker that is not there it says %v", err)
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
