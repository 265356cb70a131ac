package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gannet/benchmark/attack"
	"gannet/benchmark/load"
	"gannet/benchmark/meter"
	"gannet/benchmark/process"
	"gannet/benchmark/report"
)

const (
	// echoAttack is how long an attack on the echo goes on at most; it takes half as
	// long as the one on the server.
	echoAttack = 4 * time.Second

	// memoryPeriod is how often the server's memory is looked at during an attack,
	// settlePeriod after it.
	memoryPeriod = 250 * time.Millisecond
	settlePeriod = time.Second

	// afterUse is how long a server that was in use rests before it is attacked: what its
	// users left to be written is written then.
	afterUse = 1500 * time.Millisecond

	// lastAttack is how long the attack has gone on again when SIGTERM comes.
	lastAttack = 300 * time.Millisecond
)

// player gives the process that plays an attack.
func (h *Hostile) player(ctx context.Context, a attack.Attack, address, tls, keys string) (*attack.Playing, error) {
	command, err := h.command(h.AttackCommand)
	if err != nil {
		return nil, err
	}
	return attack.Play(ctx, command, attack.Player{
		Name: a.Name, Address: address, TLSAddress: tls, Keys: keys, Seed: h.Seed, Short: h.Short,
	})
}

// playEcho plays an attack against an echo server.
func (h *Hostile) playEcho(ctx context.Context, a attack.Attack, row *report.AttackRow) (err error) {
	command, err := h.command(h.EchoCommand)
	if err != nil {
		return err
	}
	readyFile := filepath.Join(h.dir, "echo-ready")
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("benchmark: %w", err)
	}
	server, err := process.Start(ctx, command.With("--ready-file", readyFile, "--tls-cert", h.cert, "--tls-key", h.key, "--patient"), readyFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	beside, err := meetEcho(ctx, server.Listen)
	if err != nil {
		return err
	}
	defer beside.leave()
	playing, err := h.player(ctx, a, server.Listen, server.TLS, "")
	if err != nil {
		return err
	}
	_, err = feel(ctx, playing, beside, load.Server{Address: server.Listen}, true, min(h.Duration/2, echoAttack), &row.Echo)
	return err
}

// feel lets the neighbours write and others log in for d, ends the attack, and says how
// all that went.
func feel(ctx context.Context, playing *attack.Playing, beside neighbours, s load.Server, echo bool, d time.Duration, felt *report.Felt) (attack.Got, error) {
	beside.begin(ctx)
	trying := probeLogins(ctx, s, echo)
	rested := meter.Rest(ctx, d)
	beside.stop()
	trying.stop()
	got, err := playing.Stop()
	over := time.Now()
	beside.end(ctx, felt)
	felt.Quiet = time.Since(over).Seconds()
	trying.end(felt)
	return got, errors.Join(rested, err)
}

// siege is a server under attack.
type siege struct {
	*target
	hostile *Hostile
	attack  attack.Attack
	row     *report.AttackRow
	log     *logLines
	beside  neighbours
}

// besiege starts a server, with what the attack needs in its store, and has it used for a
// moment: how much memory an attack leaves behind is seen on a server in use alone.
func (h *Hostile) besiege(ctx context.Context, a attack.Attack, row *report.AttackRow) (_ *siege, err error) {
	s := &siege{hostile: h, attack: a, row: row, log: new(logLines)}
	server := Server{ServerFlags: h.ServerFlags, limited: !a.NeedsSeed(), stderr: s.log}
	flags := append([]string{"--debug", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-cert", h.cert, "--tls-key", h.key}, a.Flags...)
	if s.target, err = server.open(ctx, &h.Program, flags...); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if a.NeedsSeed() {
		if err := s.seed(ctx); err != nil {
			return nil, err
		}
	}
	attack.Usual(ctx, attack.Victim{Address: s.Address, Token: s.Token, Seed: h.Seed})
	if err = meter.Rest(ctx, afterUse); err != nil {
		return nil, err
	}
	if s.beside, err = meet(ctx, s.Server, h.Seed); err != nil {
		return nil, err
	}
	return s, nil
}

// seed fills the store of a server whose limits are raised and starts it anew with its
// own: what it has in memory then is what it finds in the store.
func (s *siege) seed(ctx context.Context) error {
	err := s.attack.Seed(ctx, attack.NewSite(attack.Victim{
		Address: s.Address, Token: s.Token, Seed: s.hostile.Seed, Short: s.hostile.Short,
	}))
	if err := errors.Join(err, s.process.Stop()); err != nil {
		return err
	}
	s.limits = nil
	return s.start(ctx)
}

func (s *siege) player(ctx context.Context) (*attack.Playing, error) {
	return s.hostile.player(ctx, s.attack, s.Address, s.process.TLS, filepath.Join(s.data, "keys"))
}

// play measures the attack, what is left of it, and how the server ends under it.
func (s *siege) play(ctx context.Context) error {
	before, err := s.memory(ctx)
	if err != nil {
		return err
	}
	s.row.RSSBefore, s.row.HeapBefore = before.RSS, before.HeapAlloc
	counted, err := s.counters(ctx)
	if err != nil {
		return err
	}
	s.log.reset()
	logged := time.Now()
	playing, err := s.player(ctx)
	if err != nil {
		return err
	}
	s.row.Begin = time.Since(logged).Seconds()
	looked := s.watchMemory(ctx)
	s.row.Got, err = feel(ctx, playing, s.beside, s.Server, false, s.hostile.Duration, &s.row.Gannet)
	looked()
	if err != nil {
		return err
	}
	s.row.LogSeconds = time.Since(logged).Seconds()
	s.row.LogLines, s.row.Loudest, s.row.LoudestSaid = s.log.read()
	if err := s.settle(ctx); err != nil {
		return err
	}
	if after, err := s.counters(ctx); err == nil { // a server that is gone shows in how it ended
		s.row.Counters = risen(counted, after)
	}
	return s.stopUnderAttack(ctx)
}

// counters gives what the server counts, by part and name.
func (s *siege) counters(ctx context.Context) (map[string]uint64, error) {
	var parts map[string]json.RawMessage
	if err := s.ask(ctx, "/debug/vars", &parts); err != nil {
		return nil, err
	}
	all := make(map[string]uint64)
	for part, raw := range parts {
		var values map[string]uint64
		if json.Unmarshal(raw, &values) != nil {
			continue // a part that has something else
		}
		for name, n := range values {
			all[part+"."+name] = n
		}
	}
	return all, nil
}

// risen gives what was added to each counter.
func risen(before, after map[string]uint64) map[string]uint64 {
	more := make(map[string]uint64)
	for name, n := range after {
		if n > before[name] {
			more[name] = n - before[name]
		}
	}
	return more
}

// watchMemory looks for the peak until it is told to end.
func (s *siege) watchMemory(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			var m memory
			if s.ask(ctx, "/debug/memory", &m) == nil {
				s.row.HeapPeak = max(s.row.HeapPeak, m.HeapAlloc)
			}
			if u, err := meter.ReadUsage(s.pid); err == nil {
				s.row.RSSPeak = max(s.row.RSSPeak, u.Peak, u.RSS)
			}
			if meter.Rest(ctx, memoryPeriod) != nil {
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// settle waits until the heap is what it was, or should be.
func (s *siege) settle(ctx context.Context) error {
	for began := time.Now(); ; {
		m, err := s.memory(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // a server that is gone shows in how it ended
			return nil
		}
		s.row.RSSAfter, s.row.HeapAfter, s.row.Settled = m.RSS, m.HeapAlloc, time.Since(began).Seconds()
		if heapIsBack(s.row.HeapBefore, s.row.HeapAfter) || time.Since(began) > s.hostile.Settle {
			return nil
		}
		if err := meter.Rest(ctx, settlePeriod); err != nil {
			return err
		}
	}
}

// stopUnderAttack begins the attack anew and stops the server amid it.
func (s *siege) stopUnderAttack(ctx context.Context) error {
	playing, err := s.player(ctx)
	if err != nil {
		return err
	}
	rested := meter.Rest(ctx, lastAttack)
	began := time.Now()
	stopped := s.process.Stop()
	s.row.Stop = time.Since(began).Seconds()
	s.process = nil
	if stopped != nil {
		s.row.Exit = strings.TrimPrefix(firstLine(stopped.Error()), "benchmark: ")
	}
	_, err = playing.Stop()
	return errors.Join(rested, err)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// close ends what is still there.
func (s *siege) close() error {
	if s.beside != nil {
		s.beside.leave()
	}
	return s.target.close()
}
