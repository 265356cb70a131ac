package transfer_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"gannet/protocol"
	"gannet/transfer"
	"gannet/transfer/embedded"
)

// gateways remembers what each connection of each gateway was pushed.
type gateways struct {
	mu      sync.Mutex
	pushed  map[protocol.Address][]string
	failing int // so many pushes fail
	changed chan struct{}
}

func (g *gateways) Push(_ context.Context, gateway uint64, deliveries []protocol.Delivery) ([]uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer func() {
		select {
		case g.changed <- struct{}{}:
		default:
		}
	}()
	if g.failing > 0 {
		g.failing--
		return nil, errors.New("no gateway there")
	}
	for _, d := range deliveries {
		for _, conn := range d.Conns {
			at := protocol.Address{Gateway: gateway, Conn: conn}
			g.pushed[at] = append(g.pushed[at], name(d.Frame))
		}
	}
	return nil, nil
}

// name is the body of a PUSH, "receipt" for a RECEIPT.
func name(frame []byte) string {
	f, _, _ := protocol.Split(frame, protocol.MaxFrame)
	var m protocol.Message
	if f.Type == protocol.TypePush && m.Decode(f.Payload) == nil {
		return string(m.Body)
	}
	return "receipt"
}

type scene struct {
	t         *testing.T
	queue     *embedded.Queue
	directory *embedded.Directory
	gateways  *gateways
	server    *transfer.Server
}

func newScene(t *testing.T) *scene {
	s := &scene{
		t: t, queue: embedded.NewQueue(1), directory: embedded.NewDirectory(),
		gateways: &gateways{pushed: map[protocol.Address][]string{}, changed: make(chan struct{}, 1)},
	}
	s.server = transfer.Start(transfer.Config{
		Queue: s.queue, Directory: s.directory, Gateways: s.gateways, Lanes: []int{0},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	t.Cleanup(s.server.Stop)
	return s
}

// device connects a device; its connection is named by gateway and conn.
func (s *scene) device(user, device, gateway, conn uint64) {
	s.t.Helper()
	if _, _, err := s.directory.Bind(s.t.Context(), user, device, 0, protocol.Address{Gateway: gateway, Conn: conn}); err != nil {
		s.t.Fatal(err)
	}
}

// got waits until the connection has been pushed exactly this.
func (s *scene) got(gateway, conn uint64, want ...string) {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		s.gateways.mu.Lock()
		got := slices.Clone(s.gateways.pushed[protocol.Address{Gateway: gateway, Conn: conn}])
		s.gateways.mu.Unlock()
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-s.gateways.changed:
		case <-deadline:
			s.t.Fatalf("connection %d of gateway %d got %q, want %q", conn, gateway, got, want)
		}
	}
}

func message(from, device, to uint64, body string) []byte {
	return protocol.Message{
		Target: protocol.Target{Kind: protocol.KindDirect, ID: to}, Seq: 1, Sender: from, Device: device,
		ClientID: 1, Content: protocol.ContentText, Body: []byte(body),
	}.AppendFrame(nil)
}

func TestWhoGetsAMessage(t *testing.T) {
	s := newScene(t)
	s.device(1, 10, 7, 100) // the sender's
	s.device(1, 11, 8, 101) // the sender's other one, at another gateway
	s.device(2, 10, 7, 102) // the receiver's, with a device id that the sender has too
	s.device(2, 12, 8, 103)
	s.device(3, 13, 7, 104) // nobody's business
	record := message(1, 10, 2, "a")
	record = append(record, protocol.Receipt{Target: protocol.Target{Kind: protocol.KindDirect, ID: 1}, Delivered: 1, User: 2, Device: 12}.AppendFrame(nil)...)
	record = append(record, message(2, 12, 1, "b")...)
	s.queue.Put(0, record)
	s.queue.Put(0, message(3, 13, 3, "note to myself"))
	s.queue.Put(0, message(1, 10, 2, "c"))
	s.got(7, 100, "receipt", "b")
	s.got(8, 101, "a", "receipt", "b", "c")
	s.got(7, 102, "a", "receipt", "b", "c")
	s.got(8, 103, "a", "c")
	s.got(7, 104)
}

func TestFailedPushComesAgain(t *testing.T) {
	s := newScene(t)
	s.device(2, 10, 7, 102)
	s.gateways.mu.Lock()
	s.gateways.failing = 2
	s.gateways.mu.Unlock()
	s.queue.Put(0, message(1, 10, 2, "a"))
	s.queue.Put(0, message(1, 10, 2, "b"))
	s.got(7, 102, "a", "b")
	if n := s.server.Stats()["retries"]; n != 2 {
		t.Errorf("%d retries counted", n)
	}
}

func TestWhatCannotBeReadDoesNotBlockTheLane(t *testing.T) {
	s := newScene(t)
	s.device(2, 10, 7, 102)
	s.queue.Put(0, []byte("this is no frame at all"))
	s.queue.Put(0, append(protocol.AppendEmpty(nil, protocol.TypePing, 0), message(1, 10, 2, "behind it")...))
	s.queue.Put(0, message(1, 10, 2, "after it"))
	s.got(7, 102, "behind it", "after it")
	if n := s.server.Stats()["drop.unreadable"]; n != 2 {
		t.Errorf("%d unreadable frames counted", n)
	}
}
