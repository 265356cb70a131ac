package attack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"gannet/benchmark/process"
)

// beginTimeout is how long clients may take until they do harm; an attack on a server
// that lets nobody in begins all the same.
const beginTimeout = 20 * time.Second

// Player is a process of its own that plays an attack until it is stopped, and then
// says what it got. Its fields are flags.
type Player struct {
	Name       string `help:"Which attack." required:""`
	Address    string `help:"Server." required:"" placeholder:"HOST:PORT"`
	TLSAddress string `name:"tls-address" help:"The same with TLS." placeholder:"HOST:PORT"`
	Keys       string `help:"Folder of the keys with which tokens are signed. Without it the server is an echo." placeholder:"DIR"`
	Seed       uint64 `help:"Seed of what is random."`
	Short      bool   `help:"Fewer clients."`
	ReadyFile  string `help:"Where to say that the attack has begun." required:""`
	ResultFile string `help:"Where to write what it got." required:""`

	Signer func(keys string) (func(user uint64) (string, error), error) `kong:"-"`
}

// Run plays until ctx is done.
func (p *Player) Run(ctx context.Context, _, _ io.Writer) error {
	a, err := Find(p.Name)
	if err != nil {
		return err
	}
	victim := Victim{Address: p.Address, TLS: p.TLSAddress, Seed: p.Seed, Short: p.Short}
	if p.Keys != "" {
		if victim.Token, err = p.Signer(p.Keys); err != nil {
			return fmt.Errorf("benchmark: keys: %w", err)
		}
	}
	s := NewSite(victim)
	over := make(chan struct{})
	go func() {
		defer close(over)
		a.play(ctx, s)
	}()
	select {
	case <-s.began:
	case <-time.After(beginTimeout):
	case <-ctx.Done():
	}
	if err := process.WriteReady(p.ReadyFile, process.Ready{PID: os.Getpid()}); err != nil {
		return err
	}
	<-ctx.Done()
	<-over
	b, err := json.Marshal(s.tally.got())
	if err == nil {
		err = os.WriteFile(p.ResultFile, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	return nil
}

// Playing is a Player that runs.
type Playing struct {
	process *process.Process
	dir     string
}

// Play starts a Player with these fields, but for its files, and waits until its
// attack has begun; command makes one.
func Play(ctx context.Context, command process.Command, p Player) (*Playing, error) {
	dir, err := os.MkdirTemp("", "gannet-attack-")
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	w := &Playing{dir: dir}
	readyFile := filepath.Join(dir, "ready")
	args := []string{"--name", p.Name, "--address", p.Address, "--seed", fmt.Sprint(p.Seed), "--ready-file", readyFile, "--result-file", w.file()}
	if p.TLSAddress != "" {
		args = append(args, "--tls-address", p.TLSAddress)
	}
	if p.Keys != "" {
		args = append(args, "--keys", p.Keys)
	}
	if p.Short {
		args = append(args, "--short")
	}
	w.process, err = process.Start(ctx, command.With(args...), readyFile)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return w, nil
}

func (w *Playing) file() string { return filepath.Join(w.dir, "result") }

// Stop ends the attack and says what it got.
func (w *Playing) Stop() (got Got, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(w.dir)) }()
	if err := w.process.Stop(); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(w.file())
	if err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	if err := json.Unmarshal(b, &got); err != nil {
		return nil, fmt.Errorf("benchmark: attack: %w", err)
	}
	return got, nil
}
