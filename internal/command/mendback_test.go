//go:build cluster

package command

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gannet/internal/services/servicestest"
	gannet "gannet/sdk/go"
)

// A broker, RocketMQ, comes up with an older copy of its disk, and then with the newer one: its
// queue is stopped meanwhile, and goes on without a restart of anybody.
func TestGoesOnWhenTheDiskIsRestored(t *testing.T) {
	c := newOwnCluster(t)
	ann, bob := c.dial(1, 11), c.dial(2, 21)
	c.send(ann, 2, 10)
	c.fed(1, 2, 10)
	disk, older, newer := c.services.Data(servicestest.PartBroker), filepath.Join(t.TempDir(), "older"), filepath.Join(t.TempDir(), "newer")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c.services.Kill(t, servicestest.PartBroker, "TERM")
	must(os.CopyFS(older, os.DirFS(disk)))
	c.services.Start(t, servicestest.PartBroker)
	c.send(ann, 2, 10)
	c.fed(1, 2, 20)
	c.services.Kill(t, servicestest.PartBroker, "TERM")
	must(errors.Join(os.CopyFS(newer, os.DirFS(disk)), os.RemoveAll(disk), os.CopyFS(disk, os.DirFS(older))))
	c.services.Start(t, servicestest.PartBroker)

	waiting, err := ann.Post(t.Context(), gannet.User(2), gannet.Text("it waits"))
	must(err)
	c.said.sees(t, "a queue is stopped, a human has to look")
	c.eventually("gannet mend names the loss", func() bool { // a broker that has just begun may be slow to answer
		said, err := c.mend()
		return errors.Is(err, errGivenUp) && strings.Contains(said, "RocketMQ has lost what it had acknowledged")
	})
	c.services.Kill(t, servicestest.PartBroker, "KILL")
	must(errors.Join(os.RemoveAll(disk), os.CopyFS(disk, os.DirFS(newer))))
	c.services.Start(t, servicestest.PartBroker)

	if ack, err := waiting.Wait(t.Context()); err != nil || ack.Seq != 21 {
		t.Fatalf("the message that waited has %+v, %v", ack, err)
	}
	c.send(ann, 2, 1)
	if seqs := c.seqs(bob, 1, gannet.After(0)); !slices.Equal(seqs, upToSeq(1, 22)) {
		t.Errorf("there are %v", seqs)
	}
}
