//go:build cluster

package command

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	gannet "gannet/sdk/go"
)

// A broker, RocketMQ, whose disk is emptied: nodes that start then say so and wait, mend says
// what is gone, and --accept-loss makes the topics again. Chat goes on above all that was acked,
// without a restart, and nobody gets anything twice.
func TestMendMakesTopicsAgain(t *testing.T) {
	c := newOwnCluster(t)
	ann, bob := c.dial(1, 11), c.dial(2, 21)
	live := make(chan uint64, 100)
	go func() {
		for m, err := range bob.Messages(t.Context()) {
			if err == nil {
				live <- m.Seq
			}
		}
	}()
	var got []uint64
	sees := func(seq uint64) {
		c.eventually("bob sees a message", func() bool {
			for {
				select {
				case s := <-live:
					got = append(got, s)
					continue
				default:
				}
				return slices.Contains(got, seq)
			}
		})
	}
	c.send(ann, 2, 10)
	sees(10)
	c.fed(1, 2, 10)

	c.services.Kill(t, servicestest.PartBroker, "KILL")
	c.services.StartEmpty(t, servicestest.PartBroker)
	waiting, err := ann.Post(t.Context(), gannet.User(2), gannet.Text("it waits"))
	if err != nil {
		t.Fatal(err)
	}
	health := func() (code int, says string) {
		r, err := http.Get("http://" + c.nodes[registry.Logic].debug.Address() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	ill := func() {
		t.Helper()
		says := ""
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the logic node said at last: %s", says)
			}
		})
		c.eventually("the logic node says that the queue is gone", func() (gone bool) {
			var code int
			code, says = health()
			return code == http.StatusServiceUnavailable && strings.Contains(says, "gannet mend")
		})
	}
	ill()
	for _, role := range []registry.Role{registry.Logic, registry.Transfer} {
		c.stop(role)
		c.start(role)
	}
	c.said.sees(t, "a broker does not have a topic")
	ill()

	said, err := c.mend()
	if !errors.Is(err, errTopics) || !errors.Is(err, errGivenUp) || !strings.Contains(said, "topic gannet_chat: broker") || !strings.Contains(said, "topic gannet_system: broker") {
		t.Fatalf("it ends with %v and says %q", err, said)
	}
	if said, err = c.mend("--accept-loss"); err != nil || strings.Count(said, "it is made again") != 2 || !strings.Contains(said, "; 0 messages of 0 conversations are lost for good") {
		t.Fatalf("it ends with %v and says %q", err, said)
	}
	if ack, err := waiting.Wait(t.Context()); err != nil || ack.Seq != 11 {
		t.Fatalf("the message that waited has %+v, %v", ack, err)
	}
	c.send(ann, 2, 1)
	sees(12)
	if want := upToSeq(1, 12); !slices.Equal(got, want) {
		t.Errorf("bob, who was there all the time, saw %v", got)
	}
	if seqs := c.seqs(c.dial(2, 22), 1, gannet.After(0)); !slices.Equal(seqs, upToSeq(1, 12)) {
		t.Errorf("another device reads %v", seqs)
	}
	c.eventually("the logic node is well", func() bool { code, _ := health(); return code == http.StatusOK })
	if said, err = c.mend("--accept-loss"); err != nil || !strings.Contains(said, "none lacks") {
		t.Errorf("run again it ends with %v and says %q", err, said)
	}
}
