package scenario

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"gannet/benchmark/load"
	"gannet/benchmark/report"
)

// shownLogins is how many failed logins are told.
const shownLogins = 3

// logins tries again and again whether one can log in.
type logins struct {
	server load.Server
	echo   bool
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex
	took   []time.Duration
	failed []string
}

const (
	// loginPeriod is how often a login is tried, loginPatience how long one may take.
	loginPeriod   = 200 * time.Millisecond
	loginPatience = 15 * time.Second
)

// probeLogins begins; an echo counts as logged in once it has sent HELLO back.
func probeLogins(ctx context.Context, s load.Server, echo bool) *logins {
	l := &logins{server: s, echo: echo}
	trying, cancel := context.WithCancel(ctx)
	l.cancel = cancel
	first := rand.Uint64() >> 2
	l.wg.Go(func() {
		tick := time.NewTicker(loginPeriod)
		defer tick.Stop()
		for user := first; ; user++ {
			l.wg.Go(func() { l.try(ctx, user) })
			select {
			case <-tick.C:
			case <-trying.Done():
				return
			}
		}
	})
	return l
}

// loginAddress is where the attempts come from: nobody else shares its limits.
var loginAddress = net.IPv4(127, 0, 0, 2)

func (l *logins) try(ctx context.Context, user uint64) {
	token := ""
	if !l.echo {
		var err error
		if token, err = l.server.Token(user); err != nil {
			l.note(0, err)
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	began := time.Now()
	err := load.LogIn(ctx, load.DialerFrom(loginAddress), l.server.Address, token, l.echo)
	l.note(time.Since(began), err)
}

func (l *logins) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
	if err != nil {
		l.failed = append(l.failed, err.Error())
	}
}

// stop begins no more attempts.
func (l *logins) stop() { l.cancel() }

// end waits for those that are under way.
func (l *logins) end(f *report.Felt) {
	l.wg.Wait()
	f.Logins, f.NoLogin = len(l.took), len(l.failed)
	if len(l.took) > 0 {
		f.Login = float64(slices.Max(l.took)) / float64(time.Millisecond)
	}
	for _, why := range l.failed[:min(len(l.failed), shownLogins)] {
		f.Faults = append(f.Faults, "login: "+why)
	}
}
