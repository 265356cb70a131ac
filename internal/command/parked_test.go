//go:build cluster

package command

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/idl/rpc"
	"gannet/internal/chain"
	"gannet/internal/cluster"
	clusterredis "gannet/internal/cluster/redis"
	"gannet/internal/directory"
	directoryredis "gannet/internal/directory/redis"
	"gannet/internal/hop"
	"gannet/internal/redis/redistest"
	"gannet/internal/registry"
	registryredis "gannet/internal/registry/redis"
	"gannet/internal/services/servicestest"
	"gannet/protocol"
	"gannet/transfer/cluster/parked"
)

// pushedTo is a gateway that notes the bodies that it is pushed.
type pushedTo struct {
	mu     sync.Mutex
	bodies []string
}

func (g *pushedTo) Push(_ context.Context, push *hop.Push) []uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range push.Len() {
		f, _, err := protocol.Split(push.Bytes(i), protocol.MaxFrame)
		var m protocol.Message
		if err == nil && m.Decode(f.Payload) == nil {
			g.bodies = append(g.bodies, string(m.Body))
		}
	}
	return nil
}

func (g *pushedTo) Kick(uint64, protocol.Code) {}

// What is parked is listed, and handled once more: it gets to the devices by RPC, and is
// forgotten.
func TestParked(t *testing.T) {
	address := servicestest.Redis(t)
	client, name := redistest.Client(t, address), redistest.Prefix(t, address)
	in := parkedIn{clusterFlags{Redis: []string{address}, Cluster: name}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := (&parkedListCmd{in}).list(ctx, io.Discard); err != errNoPlan {
		t.Errorf("without a cluster: %v", err)
	}
	plan, err := cluster.New(name, 2, []string{"a"})
	if err == nil {
		_, err = clusterredis.Copy{Client: client, Name: name}.Save(ctx, plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	list := func() string {
		var out strings.Builder
		if err := (&parkedListCmd{in}).list(ctx, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := list(); got != "nothing is parked\n" {
		t.Errorf("it says %q", got)
	}

	r, err := registryredis.Open(ctx, client, registryredis.Options{Prefix: name})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own, err := r.Register(ctx, registry.Node{ID: 1, Role: registry.Gateway, Addresses: map[string]string{registry.RPC: ln.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	g := &pushedTo{}
	server := rpc.ServeGateway(ln, g, rpc.Config{Epoch: own.Epoch})
	defer server.Stop(ctx)
	bind := directory.Bind{User: 2, Device: 20, Number: 1, At: hop.Address{Gateway: own.Epoch(), Conn: 3}}
	if _, err := directoryredis.New(client, directoryredis.Options{Prefix: name}).Bind(ctx, []directory.Bind{bind}, nil); err != nil {
		t.Fatal(err)
	}

	store := parked.New(client, name)
	for i, class := range classes {
		m := protocol.Message{
			Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, Seq: 1, Sender: 1, Device: 10, ClientID: 1,
			Content: protocol.ContentText, Body: []byte(class.String()),
		}
		r := hop.Record{Blob: m.AppendFrame(nil)}
		r.Entries = []hop.RecordEntry{{Op: hop.OpMessage, Conversation: m.Conversation(), User: 1, Device: 10, Seq: 1, Frame: hop.Span{End: uint32(len(r.Blob))}}}
		kept, err := store.Park(ctx, &parked.Record{
			Queue: chain.Queue{Class: class, Number: i}, Mark: chain.Mark{Offset: 4711, Writer: 1, Number: 1}, Time: 1_700_000_000_000,
			Parked: time.Now(), Tries: 1, Reason: "a bug", Body: r.AppendEntries(nil),
		})
		if err != nil || !kept {
			t.Fatal(kept, err)
		}
	}
	if got := list(); strings.Count(got, "4711") != 2 || strings.Count(got, "a bug") != 2 || !strings.Contains(got, "system 1") {
		t.Errorf("it says\n%s", got)
	}
	// One that cannot be read keeps the others from nothing, is named, and can be dropped.
	damaged := string(binary.BigEndian.AppendUint64(nil, 4712)) + strings.Repeat("w", 16)
	if err := client.HSet(ctx, "{"+name+".chat.1}k", damaged, "garbage").Err(); err != nil {
		t.Fatal(err)
	}
	if got := list(); !strings.Contains(got, "4712") || !strings.Contains(got, "it cannot be read") {
		t.Errorf("of one that cannot be read it says\n%s", got)
	}
	var out strings.Builder
	if err := (&parkedRetryCmd{parkedIn: in, Wait: time.Minute}).retry(ctx, &out); err == nil || !strings.Contains(err.Error(), "chat queue 1, 4712") || !strings.Contains(err.Error(), "gannet parked drop chat 1 4712") {
		t.Errorf("of one that cannot be read retry says %v", err)
	}
	if got := out.String(); got != "2 records were handled and are forgotten, 0 are parked again\n" {
		t.Errorf("it says %q", got)
	}
	slices.Sort(g.bodies)
	if !slices.Equal(g.bodies, []string{"chat", "system"}) {
		t.Errorf("the gateway got %q", g.bodies)
	}
	drop := func(queue int, offset string) (string, error) {
		var out strings.Builder
		err := (&parkedDropCmd{Class: "chat", Queue: queue, Offset: offset, parkedIn: in}).drop(ctx, &out)
		return out.String(), err
	}
	for queue, offset := range map[int]string{0: "4712", 1: "4711", 2: "4712"} {
		if said, err := drop(queue, offset); err == nil || said != "" {
			t.Errorf("there is no %s in queue %d, and it says %q, %v", offset, queue, said, err)
		}
	}
	if said, err := drop(1, "4712"); err != nil || !strings.Contains(said, "chat queue 1, 4712: dropped, 7 bytes that could not be read") {
		t.Errorf("dropping it says %q, %v", said, err)
	}
	if got := list(); got != "nothing is parked\n" {
		t.Errorf("afterwards it says %q", got)
	}
}
