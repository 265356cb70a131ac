//go:build cluster

package rocketmq

import (
	"context"
	"errors"
	"testing"
	"time"

	"gannet/internal/chain"
)

// until waits for a condition.
func until(t *testing.T, what string, good func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !good(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never comes to this: %s", what)
		}
	}
}

// TestBrokerAway: nobody waits long for a broker that is stopped or dead, and all goes on
// once it is back.
func TestBrokerAway(t *testing.T) {
	address := server(t)
	b := startBroker(t, address)
	c := openWithin(t, address, topicOn(t, address, b.name, 1), 0)
	queue := queues(1)[0]
	put := func() (err error) {
		began := time.Now()
		_, err = c.Append(t.Context(), queue, []byte("x"))
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("an append takes %v", took)
		}
		return err
	}
	until(t, "appends begin", func() bool { return put() == nil }) // a young JVM is slow
	// An append that was given up may come late, and the broker may show late what it has.
	settled := func() (end int64) {
		t.Helper()
		until(t, "nothing more comes", func() bool {
			_, before, err := c.Bounds(t.Context(), queue)
			time.Sleep(300 * time.Millisecond)
			_, after, again := c.Bounds(t.Context(), queue)
			end = after
			return err == nil && again == nil && after == before && after > 0
		})
		return end
	}
	next := settled()
	follow := func() chan error {
		ended := make(chan error, 1)
		go func() {
			got, err := c.Pull(t.Context(), queue, next, 1)
			if err == nil && got[0].Offset != next {
				err = errors.New("another record came")
			}
			ended <- err
		}()
		return ended
	}
	for _, round := range []struct {
		name       string
		away, back func()
	}{
		{"stopped", b.freeze, b.thaw},
		{"killed", b.kill, func() { b.start() }},
	} {
		pending := follow()
		round.away()
		if err := put(); err == nil {
			t.Errorf("%s: an append succeeds", round.name)
		}
		select {
		case err := <-pending:
			if err == nil {
				t.Errorf("%s: a pull succeeds", round.name)
			}
		case <-time.After(15 * time.Second): // the library alone would take 30
			t.Fatalf("%s: a pull waits for ever", round.name)
		}
		if _, err := c.Pull(t.Context(), queue, next, 1); err == nil {
			t.Errorf("%s: the next pull succeeds", round.name)
		}
		if _, _, err := c.Bounds(t.Context(), queue); err == nil {
			t.Errorf("%s: there are bounds", round.name)
		}
		if round.name == "killed" {
			until(t, "appends are refused", func() bool { return errors.Is(put(), chain.ErrRefused) })
		}
		round.back()
		until(t, "appends go on", func() bool { return put() == nil })
		until(t, "pulls go on", func() bool { return <-follow() == nil })
		end := settled()
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		r := chain.NewReader(c, queue, chain.Beginning)
		if err := r.ReadTo(ctx, end, func(*chain.Record) error { return nil }); err != nil || r.Seen(chain.Broken) != uint64(end) {
			t.Errorf("%s: %d of %d records are there (%v)", round.name, r.Seen(chain.Broken), end, err)
		}
		cancel()
		next = end
	}
	counts := c.Troubles()
	if counts.Unanswered.Times() == 0 || counts.Refused.Times() == 0 || counts.GivenUp.Times() == 0 || counts.Away.Times() < 2 {
		t.Errorf("counted: %d unanswered, %d refused, %d given up, %d away", counts.Unanswered.Times(), counts.Refused.Times(), counts.GivenUp.Times(), counts.Away.Times())
	}
}
