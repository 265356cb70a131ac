package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"gannet/benchmark/attack"
	"gannet/benchmark/report"
)

// Hostile plays attacks against a server, one after the other, each against a process
// of its own: what do a healthy pair of neighbours feel meanwhile, and those who want
// to log in, what does it cost the server, and does it still end in order? An echo
// server gets the same bytes beforehand: what its users feel is the machine's doing.
// Its fields are flags.
type Hostile struct {
	Attack      []string      `help:"Play these attacks only; --list names them." placeholder:"NAME"`
	List        bool          `help:"Name the attacks and end."`
	Short       bool          `help:"Fewer clients and less time, for tests that run often."`
	Duration    time.Duration `help:"How long each attack goes on, 1.5 s with --short." default:"8s"`
	Settle      time.Duration `help:"How long the heap may take afterwards, 10 s with --short." default:"1m"`
	Seed        uint64        `help:"Seed of what is random." default:"1"`
	Tries       int           `help:"Play an attack up to this many times while bars are missed; the best one counts. Other work on the machine misses a bar now and then." default:"1"`
	NoBars      bool          `help:"A bar that is missed is no error."`
	ServerFlags string        `help:"Further flags for the server." placeholder:"FLAGS"`
	JSON        bool          `name:"json" help:"Write the report as JSON."`

	Program `kong:"-"`

	dir       string // for certificates
	cert, key string
}

// What --short makes of it.
const (
	shortAttack = 1500 * time.Millisecond
	shortSettle = 10 * time.Second
)

// Run plays the attacks and writes the table to out. When ctx is done it ends what is
// under way and writes what it has. The error says that bars were missed.
func (h *Hostile) Run(ctx context.Context, out, progress io.Writer) (err error) {
	attacks, err := h.attacks()
	if err != nil {
		return err
	}
	if h.List {
		return list(out, attacks)
	}
	if h.Short {
		h.Duration, h.Settle = min(h.Duration, shortAttack), min(h.Settle, shortSettle)
	}
	if h.Duration <= 0 {
		return fmt.Errorf("benchmark: attacks of %v", h.Duration)
	}
	sockets := mostSockets
	if h.Short {
		sockets = mostShort
	}
	if err := enoughFiles(sockets); err != nil {
		return err
	}
	if h.dir, err = os.MkdirTemp("", "gannet-hostile-"); err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(h.dir)) }()
	if h.cert, h.key, err = certify(h.dir); err != nil {
		return err
	}
	line := report.NewProgress(progress)
	defer line.End()
	found := report.Attacks{Command: report.Command(), Conditions: report.Here(), Settings: []report.Setting{
		report.Set("duration", h.Duration), report.Set("short", h.Short), report.Set("seed", h.Seed), report.Set("server flags", h.ServerFlags),
	}}
	began := time.Now()
	for i, a := range attacks {
		line.Showf("%d of %d, %s: %s", i+1, len(attacks), a.Name, a.Does)
		line.End()
		row, err := h.try(ctx, a)
		if ctx.Err() != nil {
			found.Notes = append(found.Notes, "Interrupted: this is what there was until then.")
			break
		}
		if err != nil {
			return fmt.Errorf("benchmark: %s: %w", a.Name, err)
		}
		found.Rows = append(found.Rows, *row)
		verdict := "every bar holds"
		if len(row.Missed) > 0 {
			verdict = "missed: " + strings.Join(row.Missed, "; ")
		}
		line.Showf("   neighbours' p99 %.1f ms (echo %.1f), slowest login %.0f ms (echo %.0f): %s",
			row.Gannet.P99, row.Echo.P99, row.Gannet.Login, row.Echo.Login, verdict)
		line.End()
	}
	found.Notes = append(found.Notes, fmt.Sprintf("It took %.0f s.", time.Since(began).Seconds()))
	if err := found.Write(out, h.JSON); err != nil {
		return err
	}
	if n := found.Missed(); n > 0 && !h.NoBars {
		return fmt.Errorf("benchmark: %d bars were missed", n)
	}
	return nil
}

// try plays an attack until every bar holds, but not more often than asked for.
func (h *Hostile) try(ctx context.Context, a attack.Attack) (best *report.AttackRow, err error) {
	for range max(1, h.Tries) {
		row, err := h.play(ctx, a)
		if err != nil {
			return nil, err
		}
		row.Missed = missed(row)
		if best == nil || len(row.Missed) < len(best.Missed) {
			best = row
		}
		if len(best.Missed) == 0 {
			break
		}
	}
	return best, nil
}

// mostSockets is what an attack opens at most, mostShort with --short.
const (
	mostSockets = 2600
	mostShort   = 300
)

// attacks gives those that were asked for.
func (h *Hostile) attacks() ([]attack.Attack, error) {
	if len(h.Attack) == 0 {
		return attack.All(), nil
	}
	var some []attack.Attack
	for _, name := range h.Attack {
		a, err := attack.Find(name)
		if err != nil {
			return nil, err
		}
		some = append(some, a)
	}
	return some, nil
}

func list(out io.Writer, attacks []attack.Attack) error {
	for _, a := range attacks {
		if _, err := fmt.Fprintf(out, "%-18s %s\n", a.Name, a.Does); err != nil {
			return err
		}
	}
	return nil
}

// play plays one attack, first against an echo server.
func (h *Hostile) play(ctx context.Context, a attack.Attack) (*report.AttackRow, error) {
	row := &report.AttackRow{Attack: a.Name, Does: a.Does}
	if err := h.playEcho(ctx, a, row); err != nil {
		return nil, err
	}
	s, err := h.besiege(ctx, a, row)
	if err != nil {
		return nil, err
	}
	return row, errors.Join(s.play(ctx), s.close())
}
