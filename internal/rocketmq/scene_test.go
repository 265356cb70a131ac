//go:build cluster

package rocketmq

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"gannet/internal/chain"
	"gannet/internal/services/servicestest"
)

// patient is how long something that should happen is waited for.
const patient = time.Minute

// topic makes a topic with so many queues for the test, on the first broker, and says
// where they lie.
func topic(t testing.TB, nameServer string, queues int) (places map[chain.Queue]Place) {
	t.Helper()
	names, err := Brokers(t.Context(), []string{nameServer})
	if err != nil || len(names) == 0 {
		t.Fatalf("the name server knows the brokers %v (%v)", names, err)
	}
	return topicOn(t, nameServer, names[0], queues)
}

func topicOn(t testing.TB, nameServer, broker string, queues int) (places map[chain.Queue]Place) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	name := "test-" + rand.Text()
	if err := MakeTopic(ctx, []string{nameServer}, broker, name, queues); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeTopic(t, nameServer, broker, name) })
	places = map[chain.Queue]Place{}
	for n := range queues {
		places[chain.Queue{Class: chain.Chat, Number: n}] = Place{Topic: name, Broker: broker, Queue: n}
	}
	return places
}

// removeTopic removes a topic at the end of a test.
func removeTopic(t testing.TB, nameServer, broker, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	r := newRemote()
	defer r.close()
	address, err := r.brokerAddress(ctx, []string{nameServer}, broker)
	if err != nil {
		t.Error(err)
		return
	}
	const deleteTopic = 215
	a, err := r.call(ctx, address, deleteTopic, map[string]string{"topic": name}, nil)
	// A broker without a timer wheel removes the topic and then fails over its timers.
	if err != nil || a.Code != 0 && !strings.Contains(a.Remark, "TimerMessageStore") {
		t.Errorf("removing topic %s: %v, %v", name, a, err)
	}
}

// open makes a client that waits for a broker that is busy.
func open(t testing.TB, nameServer string, places map[chain.Queue]Place) *Client {
	t.Helper()
	return openWithin(t, nameServer, places, patient)
}

// openWithin makes a client that waits for so long for an append; 0: as a server in use does.
func openWithin(t testing.TB, nameServer string, places map[chain.Queue]Place, send time.Duration) *Client {
	t.Helper()
	c, err := Open(t.Context(), Options{NameServers: []string{nameServer}, Instance: rand.Text(), Places: places, Send: send})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// queues gives chat queues.
func queues(n int) (all []chain.Queue) {
	for i := range n {
		all = append(all, chain.Queue{Class: chain.Chat, Number: i})
	}
	return all
}

// server gives the address of the name server.
func server(t testing.TB) string { return servicestest.RocketMQ(t) }
