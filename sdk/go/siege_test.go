package gannet_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gannet/internal/command"
	"gannet/sdk/go"
)

// siegeData names the data folder to a test binary that is to be a server, and
// siegeListen its address.
const siegeData, siegeListen = "GANNET_SIEGE_DATA", "GANNET_SIEGE_LISTEN"

// besieged is how many users talk to each other, 1 and up.
const besieged = 3

func init() {
	data := os.Getenv(siegeData)
	if data == "" {
		return
	}
	server, err := command.StartServer(slog.New(slog.DiscardHandler),
		"--data", data, "--listen", os.Getenv(siegeListen), "--sockets", "1", "--limits", "off", "--min-free", "0")
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Print(server.Address())
	for user := range uint64(besieged) {
		token, err := server.Token(user+1, time.Hour)
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Print(" ", token)
	}
	fmt.Println()
	io.Copy(io.Discard, os.Stdin) // until the test is gone
	os.Exit(0)
}

// siege is a server process and the network before it.
type siege struct {
	t       *testing.T
	data    string
	address string
	tokens  []string
	process *exec.Cmd
	ln      net.Listener

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newSiege(t *testing.T) *siege {
	g := &siege{t: t, data: t.TempDir() + "/data", address: "127.0.0.1:0"}
	g.serve()
	var err error
	if g.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	g.wg.Go(g.accept)
	t.Cleanup(func() {
		g.ln.Close()
		g.kill()
		g.cut()
		g.wg.Wait()
	})
	return g
}

// serve starts the server process.
func (g *siege) serve() {
	g.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		g.process = exec.Command(os.Args[0], "-test.run=^$")
		g.process.Env = append(os.Environ(), siegeData+"="+g.data, siegeListen+"="+g.address)
		_, err := g.process.StdinPipe()
		if err != nil {
			g.t.Fatal(err)
		}
		out, err := g.process.StdoutPipe()
		if err == nil {
			err = g.process.Start()
		}
		if err != nil {
			g.t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		if words := strings.Fields(line); len(words) == 1+besieged {
			g.mu.Lock()
			g.address, g.tokens = words[0], words[1:]
			g.mu.Unlock()
			return
		}
		g.kill()
		if time.Now().After(deadline) { // its port may be somebody's own for a moment
			g.t.Fatalf("the server does not start: %s", line)
		}
	}
}

func (g *siege) kill() {
	g.process.Process.Kill()
	g.process.Wait()
}

// cut breaks every connection off, with what is on its way.
func (g *siege) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, conn := range g.conns {
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	g.conns = nil
}

// accept is the network: what clients send goes to the server, and back.
func (g *siege) accept() {
	for {
		client, err := g.ln.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		address := g.address
		g.mu.Unlock()
		server, err := net.Dial("tcp", address)
		if err != nil {
			client.Close()
			continue
		}
		g.mu.Lock()
		g.conns = append(g.conns, client, server)
		g.mu.Unlock()
		for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
			g.wg.Go(func() {
				io.Copy(way[0], way[1])
				way[0].Close()
			})
		}
	}
}

// citizen is a user of the siege and what they were told.
type citizen struct {
	client *gannet.Client

	mu       sync.Mutex
	posted   map[uint64]string         // texts by id
	outcomes map[uint64]gannet.Outcome // by id
	heard    map[gannet.Target][]gannet.Message
	wrong    []string
}

func (p *citizen) outcome(_ context.Context, _ *gannet.Client, o gannet.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, twice := p.outcomes[o.ID]; twice || o.Err != nil {
		p.wrong = append(p.wrong, fmt.Sprintf("outcome %+v, heard before: %v", o, twice))
	}
	p.outcomes[o.ID] = o
}

func (p *citizen) message(_ context.Context, _ *gannet.Client, m gannet.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard[m.Conversation] = append(p.heard[m.Conversation], m)
	return nil
}

// TestSiege holds the client's promises against a real server that is killed with -9,
// stopped for a while, and cut off, at random: each message that was taken has one
// outcome and one place, and everybody hears what the others said, once and in order.
func TestSiege(t *testing.T) {
	const deeds, each = 18, 150
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := newSiege(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	people := make([]*citizen, besieged)
	for i := range people {
		p := &citizen{posted: map[uint64]string{}, outcomes: map[uint64]gannet.Outcome{}, heard: map[gannet.Target][]gannet.Message{}}
		people[i] = p
		h := gannet.Handler{Outcome: p.outcome}
		opts := []gannet.Option{
			gannet.WithDevice(uint64(100 + i)), gannet.WithHeartbeat(time.Second), gannet.WithBackoff(10*time.Millisecond, 200*time.Millisecond),
		}
		if i > 0 { // the first receives by a loop
			h.Message = p.message
		}
		if i < 2 { // the last stores nothing
			store, err := gannet.NewFileStore(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			opts = append(opts, gannet.WithStore(store))
		}
		var err error
		if p.client, err = gannet.Dial(ctx, g.ln.Addr().String(), g.tokens[i], append(opts, gannet.WithHandler(h))...); err != nil {
			t.Fatal(err)
		}
		defer p.client.Close(ctx)
	}
	loop, endLoop := context.WithCancel(ctx)
	defer endLoop()
	var wg, talking sync.WaitGroup
	wg.Go(func() {
		for m, err := range people[0].client.Messages(loop) {
			if err != nil {
				t.Error(err)
			}
			people[0].message(loop, people[0].client, m)
		}
	})
	for i, p := range people {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		talking.Go(func() { p.talk(t, ctx, i, each, rng) })
	}
	rng := rand.New(rand.NewPCG(seed, besieged))
	done := map[string]int{}
	for n := range deeds {
		switch what := []string{"killed", "stopped", "cut off"}[n%3]; what {
		case "killed":
			done[what]++
			g.kill()
			g.serve()
		case "stopped":
			done[what]++
			g.process.Process.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond) // the deed itself
			g.process.Process.Signal(syscall.SIGCONT)
		default:
			done[what]++
			g.cut()
		}
		time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond) // so that deeds meet every state
	}
	talking.Wait()
	for _, p := range people {
		if err := p.client.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range people {
		for k, other := range people {
			if k != i {
				p.compare(t, ctx, uint64(i+1), uint64(k+1), other)
			}
		}
	}
	endLoop()
	wg.Wait()
	t.Logf("%v", done)
}

// talk posts numbered texts to the others.
func (p *citizen) talk(t *testing.T, ctx context.Context, i, n int, rng *rand.Rand) {
	for k := range n {
		to := 1 + uint64((i+1+rng.IntN(besieged-1))%besieged)
		text := fmt.Sprintf("%d: %d", i+1, k)
		s, err := p.client.Post(ctx, gannet.User(to), gannet.Text(text))
		if err != nil {
			t.Error(err)
			return
		}
		p.mu.Lock()
		p.posted[s.ID()] = text
		p.mu.Unlock()
		if rng.IntN(3) == 0 {
			if _, err := s.Wait(ctx); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond) // spread over the siege
	}
}

// compare holds what user has sent peer against what peer has heard and what the server
// has.
func (p *citizen) compare(t *testing.T, ctx context.Context, user, peer uint64, other *citizen) {
	var said []gannet.Message
	for m, err := range p.client.History(ctx, gannet.User(peer), gannet.After(0)) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Sender == user {
			said = append(said, m)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		other.mu.Lock()
		n := len(other.heard[gannet.User(user)])
		other.mu.Unlock()
		p.mu.Lock()
		told := len(p.outcomes) >= len(p.posted)
		p.mu.Unlock()
		if n >= len(said) && told {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("user %d heard %d of %d messages of user %d, who was told of all: %v", peer, n, len(said), user, told)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	heard := other.heard[gannet.User(user)]
	posted := 0
	for _, o := range p.outcomes {
		if o.To == gannet.User(peer) {
			posted++
		}
	}
	if len(said) != len(heard) || posted != len(said) || len(p.outcomes) != len(p.posted) || len(p.wrong)+len(other.wrong) > 0 {
		t.Errorf("user %d has %d outcomes, the server %d messages to user %d, who heard %d; %v %v", user, posted, len(said), peer, len(heard), p.wrong, other.wrong)
		return
	}
	for i, m := range said {
		if h := heard[i]; h.Seq != m.Seq || h.ID != m.ID || h.Text() != m.Text() || p.posted[m.ID] != m.Text() || p.outcomes[m.ID].Ack.Seq != m.Seq {
			t.Errorf("user %d said %+v, told seq %d of %q; user %d heard %+v", user, m, p.outcomes[m.ID].Ack.Seq, p.posted[m.ID], peer, h)
		}
	}
}
