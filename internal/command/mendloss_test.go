//go:build cluster

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gannet/internal/registry"
	"gannet/internal/services/servicestest"
	"gannet/logic/cluster/history"
	"gannet/protocol"
	gannet "gannet/sdk/go"
)

// ownCluster is a cluster with servers of its own, in this process.
type ownCluster struct {
	t        *testing.T
	services *servicestest.Services
	folder   string
	front    front
	nodes    map[registry.Role]*node
	history  *history.Store
	said     *notes // the log of the nodes
}

func newOwnCluster(t *testing.T) *ownCluster {
	c := &ownCluster{t: t, services: servicestest.Own(t), folder: t.TempDir(), nodes: map[registry.Role]*node{}, said: &notes{more: make(chan struct{}, 1)}}
	for _, role := range []registry.Role{registry.Logic, registry.Transfer, registry.Gateway} {
		c.start(role)
	}
	t.Cleanup(func() {
		for _, role := range []registry.Role{registry.Gateway, registry.Transfer, registry.Logic} {
			c.stop(role)
		}
	})
	var err error
	if c.history, err = history.Open(history.Options{Addresses: []string{c.services.Address(t, "GANNET_TEST_CLICKHOUSE")}, Database: "gannet"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.history.Close() })
	c.eventually("ClickHouse has its tables", func() bool { return c.history.Migrate(t.Context()) == nil })
	return c
}

// parse gives a command with the addresses of the servers.
func (c *ownCluster) parse(command string, further ...string) *cli {
	c.t.Helper()
	args := []string{command, "--redis", c.services.Address(c.t, "GANNET_TEST_REDIS"), "--rocketmq", c.services.Address(c.t, "GANNET_TEST_ROCKETMQ")}
	var parsed cli
	p, err := flagParser(&parsed)
	if err == nil {
		_, err = p.Parse(append(args, further...))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return &parsed
}

func (c *ownCluster) start(role registry.Role) {
	c.t.Helper()
	log := slog.New(slog.NewTextHandler(c.said, nil))
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(io.MultiWriter(c.said, os.Stderr), nil))
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	var n *node
	var err error
	switch role {
	case registry.Logic:
		n, err = c.parse("logic", "--queues", "2", "--debug", "127.0.0.1:0", "--keys", filepath.Join(c.folder, "keys"), "--clickhouse", c.services.Address(c.t, "GANNET_TEST_CLICKHOUSE")).Logic.start(ctx, log)
	case registry.Transfer:
		n, err = c.parse("transfer").Transfer.start(ctx, log)
	case registry.Gateway:
		args := []string{"gateway", "--redis", c.services.Address(c.t, "GANNET_TEST_REDIS"), "--listen", "127.0.0.1:0", "--sockets", "1"}
		var parsed cli
		p, failed := flagParser(&parsed)
		if failed == nil {
			_, failed = p.Parse(args)
		}
		if failed != nil {
			c.t.Fatal(failed)
		}
		n, err = parsed.Gateway.start(ctx, log, &c.front)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	n.serving.Store(true)
	c.nodes[role] = n
}

// stop stops a node; what it cannot finish is no matter of these tests.
func (c *ownCluster) stop(role registry.Role) {
	if n := c.nodes[role]; n != nil {
		_ = n.stop()
		delete(c.nodes, role)
	}
}

// mend runs gannet mend.
func (c *ownCluster) mend(further ...string) (said string, err error) {
	c.t.Helper()
	var out strings.Builder
	m := &c.parse("mend", append(further, "--clickhouse", c.services.Address(c.t, "GANNET_TEST_CLICKHOUSE"))...).Mend
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	err = m.mend(ctx, &out)
	c.t.Logf("gannet mend %v: %v\n%s", further, err, &out)
	return out.String(), err
}

// dial connects a device of a user.
func (c *ownCluster) dial(user, device uint64) *gannet.Client {
	c.t.Helper()
	token, err := sign(c.folder, user, time.Hour)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	client, err := gannet.Dial(ctx, c.front.address, token, gannet.WithDevice(device))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = client.Close(ctx)
	})
	return client
}

// send sends some messages, one after the other, and gives their seqs.
func (c *ownCluster) send(from *gannet.Client, to uint64, n int) (seqs []uint64) {
	c.t.Helper()
	for i := range n {
		ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
		ack, err := from.Send(ctx, gannet.User(to), gannet.Text(fmt.Sprint("message ", i)))
		cancel()
		if err != nil {
			c.t.Fatal(err)
		}
		seqs = append(seqs, ack.Seq)
	}
	return seqs
}

// seqs gives those of the messages of a conversation, as a client reads them.
func (c *ownCluster) seqs(client *gannet.Client, with uint64, options ...gannet.HistoryOption) (seqs []uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for m, err := range client.History(ctx, gannet.User(with), options...) {
		if err != nil {
			c.t.Fatalf("user %d reads %v of %d: %v", client.User(), seqs, with, err)
		}
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

func (c *ownCluster) eventually(what string, condition func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("in vain waited for this: %s", what)
		}
	}
}

// fed waits until ClickHouse has a conversation of two users up to a seq.
func (c *ownCluster) fed(one, other, seq uint64) {
	c.t.Helper()
	key := protocol.Conversation{Kind: protocol.KindDirect, A: one, B: other}
	c.eventually("ClickHouse has the messages", func() bool {
		newest, err := c.history.Newest(c.t.Context(), []protocol.Conversation{key})
		return err == nil && newest[key] >= seq
	})
}

// upToSeq gives the numbers from one to another.
func upToSeq(from, to uint64) (list []uint64) {
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

// A broker whose disk is replaced by an older copy: its queues are stopped, and go on when what
// is lost is given up. No seq is given twice, what ClickHouse has is served, and nobody waits
// for what is gone, also when Redis is emptied behind it.
func TestMendGivesUpWhatTheBrokerLost(t *testing.T) {
	c := newOwnCluster(t)
	ann, bob, cid := c.dial(1, 11), c.dial(2, 21), c.dial(3, 31)
	var got []uint64
	live := make(chan uint64, 100)
	go func() {
		for m, err := range bob.Messages(t.Context()) {
			if err == nil {
				live <- m.Seq
			}
		}
	}()
	sees := func(seq uint64) {
		t.Helper()
		for deadline := time.After(2 * time.Minute); !slices.Contains(got, seq); {
			select {
			case s := <-live:
				got = append(got, s)
			case <-deadline:
				t.Fatalf("bob never sees %d, but %v", seq, got)
			}
		}
	}
	c.send(ann, 2, 20)
	sees(20)
	c.fed(1, 2, 20)

	// A copy is made; what comes then ClickHouse has, and then nobody but Redis.
	disk, older := c.services.Data(servicestest.PartBroker), filepath.Join(t.TempDir(), "older")
	c.services.Kill(t, servicestest.PartBroker, "TERM")
	if err := os.CopyFS(older, os.DirFS(disk)); err != nil {
		t.Fatal(err)
	}
	c.services.Start(t, servicestest.PartBroker)
	c.send(ann, 2, 10)
	c.fed(1, 2, 30)
	c.services.Kill(t, servicestest.PartClickHouse, "KILL")
	c.send(ann, 2, 10)
	c.send(cid, 4, 3)
	sees(40)
	c.stop(registry.Logic)
	c.services.Kill(t, servicestest.PartBroker, "KILL")
	if err := errors.Join(os.RemoveAll(disk), os.CopyFS(disk, os.DirFS(older))); err != nil {
		t.Fatal(err)
	}
	c.services.Start(t, servicestest.PartBroker)
	c.services.Start(t, servicestest.PartClickHouse)
	c.start(registry.Logic)

	said, err := c.mend()
	if !errors.Is(err, errGivenUp) || !strings.Contains(said, "RocketMQ has lost what it had acknowledged") {
		t.Fatalf("it ends with %v and says %q", err, said)
	}
	if said, err = c.mend("--accept-loss"); err != nil || !strings.Contains(said, "13 messages of 2 conversations are lost for good") {
		t.Fatalf("it ends with %v and says %q", err, said)
	}
	if said, err = c.mend("--accept-loss"); err != nil || !strings.Contains(said, "none lacks") {
		t.Errorf("run again it ends with %v and says %q", err, said)
	}

	if seqs := c.send(ann, 2, 1); seqs[0] != 41 {
		t.Errorf("the next message gets seq %d", seqs[0])
	}
	if seqs := c.send(cid, 4, 1); seqs[0] != 4 {
		t.Errorf("the next message of a conversation of which nothing is left gets seq %d", seqs[0])
	}
	sees(41)
	if want := upToSeq(1, 41); !slices.Equal(got, want) {
		t.Errorf("bob, who was there all the time, saw %v", got)
	}
	left := append(upToSeq(1, 30), 41)
	read := func(when string) {
		t.Helper()
		late, dan := c.dial(2, 22), c.dial(4, 41)
		if seqs := c.seqs(late, 1, gannet.After(0)); !slices.Equal(seqs, left) {
			t.Errorf("%s: forward there are %v", when, seqs)
		}
		if seqs := c.seqs(late, 1); !slices.Equal(seqs, reversed(left)) {
			t.Errorf("%s: backward there are %v", when, seqs)
		}
		if seqs := c.seqs(late, 1, gannet.Before(36)); !slices.Equal(seqs, reversed(upToSeq(1, 30))) {
			t.Errorf("%s: from a lost one backward there are %v", when, seqs)
		}
		if seqs := c.seqs(dan, 3, gannet.After(0)); !slices.Equal(seqs, []uint64{4}) {
			t.Errorf("%s: of a conversation of which nothing was left there are %v", when, seqs)
		}
		for _, client := range []*gannet.Client{late, dan} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			list, err := client.Conversations(ctx, 10)
			cancel()
			if err != nil || len(list) != 1 {
				t.Errorf("%s: user %d has the conversations %v, %v", when, client.User(), list, err)
			}
		}
		if err := errors.Join(late.Close(t.Context()), dan.Close(t.Context())); err != nil {
			t.Error(err)
		}
	}
	read("afterwards")

	c.fed(1, 2, 41)
	c.fed(3, 4, 4)
	c.services.Kill(t, servicestest.PartRedis, "KILL")
	c.services.StartEmpty(t, servicestest.PartRedis)
	if seqs := c.send(ann, 2, 1); seqs[0] != 42 {
		t.Errorf("when Redis was emptied the next message gets seq %d", seqs[0])
	}
	left = append(left, 42)
	sees(42)
	read("when Redis was emptied")
}

func reversed(list []uint64) []uint64 {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}
