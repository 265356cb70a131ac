package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/meter"
	"gannet/benchmark/report"
	gannet "gannet/sdk/go"
)

const (
	// racers are the pairs that race beside each other.
	racers = 10

	// raceTurns is how many logins race in all; short ones are fewer.
	raceTurns, shortRaceTurns = 20_000, 2_000

	// raceLead is by how much at most a message goes before or behind a login.
	raceLead = 20 * time.Millisecond

	// raceBar is how long a message may take to who logs in meanwhile. It is not sent
	// again and nothing follows it, so nobody who missed it would learn of it from later
	// ones.
	raceBar = 5 * time.Second

	// racePatience is when a message counts as lost.
	racePatience = 30 * time.Second
)

// racer is a user who logs in again and again, and the other one who writes to them at that
// very moment.
type racer struct {
	to, from *gannet.Client
	arrived  chan string
	mu       sync.Mutex
	conn     net.Conn // of the one who logs in
}

// loginRace has messages race logins: a message has to come by push or by sync.
func loginRace(ctx context.Context, p *stage) error {
	token, err := p.Signer(p.cluster.Keys())
	if err != nil {
		return fmt.Errorf("benchmark: keys: %w", err)
	}
	turns := raceTurns
	if p.Short {
		turns = shortRaceTurns
	}
	var (
		faults    report.Faults
		done      atomic.Int64
		slow      atomic.Int64
		lost      atomic.Uint64
		latencies = meter.NewRecorder()
	)
	first := load.FirstUser()
	err = load.InParallel(ctx, racers, racers, func(ctx context.Context, i int) error {
		r := &racer{arrived: make(chan string, 16)}
		if err := r.open(ctx, p.cluster.Address(), token, first+uint64(2*i)); err != nil {
			return err
		}
		defer r.close()
		times := latencies.Sampler()
		defer times.Flush()
		random := rand.New(rand.NewPCG(p.Seed, uint64(i)))
		for n := range turns / racers {
			took, err := r.turn(ctx, fmt.Sprint(i, " ", n), time.Duration(random.Int64N(int64(2*raceLead)))-raceLead)
			if err != nil {
				lost.Add(1)
				faults.Addf("pair %d, turn %d, to user %d: %v", i, n, r.to.User(), err)
				return nil
			}
			times.Add(int64(took))
			if took > raceBar {
				slow.Add(1)
			}
			if d := done.Add(1); d%1000 == 0 {
				p.line.Showf("%d logins raced", d)
			}
		}
		return nil
	})
	sum := latencies.Summary()
	p.row.Acked, p.row.Longest, p.row.Lost = uint64(done.Load()), sum.Max/1e6, lost.Load()
	p.row.FaultCount, p.row.Faults = faults.List()
	p.row.Times = append(p.row.Times, report.ClusterTime{After: "99 % of the sends", Seconds: sum.P99 / 1e6})
	if n := slow.Load(); n > 0 {
		p.row.Late = append(p.row.Late, fmt.Sprintf("%d of %d messages took more than %v to who logged in meanwhile", n, done.Load(), raceBar))
	}
	return err
}

// open logs both in.
func (r *racer) open(ctx context.Context, address string, token func(uint64) (string, error), user uint64) (err error) {
	sign := func(user uint64) (t string) {
		if err == nil {
			t, err = token(user)
		}
		return t
	}
	one, other := sign(user), sign(user+1)
	if err != nil {
		return fmt.Errorf("benchmark: tokens: %w", err)
	}
	if r.from, err = gannet.Dial(ctx, address, other, gannet.WithName(load.ClientName)); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	r.to, err = gannet.Dial(ctx, address, one, gannet.WithName(load.ClientName),
		gannet.WithBackoff(time.Millisecond, 10*time.Millisecond), gannet.WithDialer(r.dial),
		gannet.WithHandler(gannet.Handler{Message: func(_ context.Context, _ *gannet.Client, m gannet.Message) error {
			r.arrived <- m.Text()
			return nil
		}}))
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

func (r *racer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn = c
	return c, nil
}

// drop ends the connection of the one who logs in, who comes back at once.
func (r *racer) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn.Close()
}

// turn has a login race a message, and gives how long the message took to arrive.
func (r *racer) turn(ctx context.Context, text string, lead time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, racePatience)
	defer cancel()
	dropped := time.AfterFunc(max(0, lead), r.drop)
	defer dropped.Stop()
	if err := meter.Rest(ctx, max(0, -lead)); err != nil {
		return 0, err
	}
	began := time.Now()
	ack, err := r.from.Send(ctx, gannet.User(r.to.User()), gannet.Text(text))
	if err != nil {
		return 0, fmt.Errorf("it was not acked: %w", err)
	}
	select {
	case got := <-r.arrived:
		if got != text {
			return 0, fmt.Errorf("%q came, sent was %q", got, text)
		}
		return time.Since(began), nil
	case <-ctx.Done():
		state := r.to.State()
		r.drop()
		select {
		case <-r.arrived:
			return 0, fmt.Errorf("%q was acked as seq %d and did not come within %v (the client is %v), but with the next login", text, ack.Seq, racePatience, state)
		case <-time.After(raceBar):
			return 0, fmt.Errorf("%q was acked as seq %d and did not come within %v (the client is %v), nor with the next login", text, ack.Seq, racePatience, state)
		}
	}
}

func (r *racer) close() {
	ctx, cancel := context.WithTimeout(context.Background(), load.CloseTimeout)
	defer cancel()
	for _, c := range []*gannet.Client{r.to, r.from} {
		_ = c.Close(ctx) // everything was acked
	}
}
