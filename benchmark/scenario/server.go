package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gannet/benchmark/load"
	"gannet/benchmark/process"
	"gannet/benchmark/report"
	"gannet/benchmark/yardstick"
)

// Server says which server a scenario measures. Its fields are flags.
type Server struct {
	Address     string `help:"Measure the server at this address, or a cluster at those of its gateways with commas between. Without it one is started for the run." placeholder:"HOST:PORT"`
	ServerPID   int    `name:"server-pid" help:"Process of the server at --address, for CPU and memory, when it is on this machine." placeholder:"PID"`
	Keys        string `help:"Folder of the keys with which tokens for the server at --address are signed." placeholder:"DIR"`
	ServerFlags string `help:"Further flags for the server that is started." placeholder:"FLAGS"`
	Data        string `help:"Folder for the data of the server that is started; a temporary one without it." placeholder:"DIR"`
	Keep        bool   `help:"Keep the temporary folder of the server that was started."`

	bare     bool      // start a yardstick.BareServer
	memtable int       // MiB, of that one
	temp     string    // where temporary folders go; "": where the system says
	limited  bool      // the limits of the server that is started are its own, not raised
	stderr   io.Writer // hears what that one writes there; nil: nobody does
}

// Signer opens a folder of keys and gives the function that signs tokens with
// them. That function must be safe for concurrent use.
type Signer func(keys string) (token func(user uint64) (string, error), err error)

// Program is what a scenario needs from the program that it is part of.
type Program struct {
	// Executable is the program that serves when it is started with --data,
	// --listen and --ready-file; empty means the running one.
	Executable string

	// The arguments that make Executable one of the yardsticks.
	EchoCommand, BareCommand, PausesCommand []string

	// AttackCommand makes it an attack.Player, AppCommand a soak.App.
	AttackCommand, AppCommand []string

	// PipelineCommand makes it a pipeline.Process.
	PipelineCommand []string

	Signer Signer

	// RaisedLimits are flags with which the server lets all clients of a benchmark in,
	// who share an address and ask for more than people do.
	RaisedLimits []string
}

// command gives how Executable is called with these arguments.
func (p *Program) command(args []string) (process.Command, error) {
	if p.Executable != "" {
		return process.Command{Executable: p.Executable, Args: args}, nil
	}
	own, err := os.Executable()
	if err != nil {
		return process.Command{}, fmt.Errorf("benchmark: %w", err)
	}
	return process.Command{Executable: own, Args: args}, nil
}

// target is a server that is being measured.
type target struct {
	load.Server
	pid int // 0 when it is not known

	// usages gives what the processes of a cluster have used so far; nil: it is none.
	usages func() usages

	// These are for a server that was started for the run.
	process  *process.Process
	command  process.Command // without what every start needs
	limits   []string        // flags that raise them; none: they are as the server has them
	bare     bool
	memtable int    // MiB, of a bare one
	asked    string // the flags that were asked for
	dir      string // holds the ready file, and the data unless they are elsewhere
	data     string
	keep     bool
}

// open gives the server at Address, or starts one. extra are flags for that one.
func (s *Server) open(ctx context.Context, p *Program, extra ...string) (*target, error) {
	if s.Address != "" {
		if s.bare {
			return nil, errors.New("benchmark: --bare starts a server of its own; leave out --address")
		}
		token, err := p.Signer(s.Keys)
		if err != nil {
			return nil, fmt.Errorf("benchmark: keys: %w", err)
		}
		return &target{Server: load.Server{Address: s.Address, Token: token}, pid: s.ServerPID}, nil
	}
	var role []string
	if s.bare {
		role = slices.Concat(p.BareCommand, []string{"--memtable", strconv.Itoa(s.memtable)})
	}
	command, err := p.command(role)
	if err != nil {
		return nil, err
	}
	command.Stderr = s.stderr
	t := &target{
		command: command.With(strings.Fields(s.ServerFlags)...).With(extra...),
		bare:    s.bare, memtable: s.memtable, asked: s.ServerFlags, data: s.Data, keep: s.Keep,
	}
	if !s.bare && !s.limited {
		t.limits = p.RaisedLimits
	}
	if t.dir, err = os.MkdirTemp(s.temp, "gannet-bench-"); err != nil {
		return nil, fmt.Errorf("benchmark: %w", err)
	}
	if t.data == "" {
		t.data = filepath.Join(t.dir, "data")
	}
	// The port stays the same when the server is started anew.
	if t.Address, err = process.FreeAddress(); err == nil {
		err = t.start(ctx)
	}
	switch {
	case err != nil:
	case s.bare:
		t.Token = yardstick.BareToken
	default:
		if t.Token, err = p.Signer(filepath.Join(t.data, "keys")); err != nil {
			err = fmt.Errorf("benchmark: keys: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// start starts the server, for the first time or after kill.
func (t *target) start(ctx context.Context) error {
	readyFile := filepath.Join(t.dir, "ready")
	if err := os.Remove(readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("benchmark: %w", err)
	}
	command := t.command.With("--data", t.data, "--listen", t.Address, "--ready-file", readyFile)
	command.Args = slices.Concat(t.limits, command.Args) // what was asked for comes later and counts
	p, err := process.Start(ctx, command, readyFile)
	if err != nil {
		return err
	}
	t.process, t.pid = p, p.PID
	return nil
}

// close stops a server that was started and removes its temporary folder. An
// error says that the server did not end well.
func (t *target) close() error {
	var err error
	if t.process != nil {
		err = t.process.Stop()
	}
	if t.dir != "" && !t.keep {
		err = errors.Join(err, os.RemoveAll(t.dir))
	}
	return err
}

// settings describes the server for a report.
func (t *target) settings() []report.Setting {
	if t.process == nil {
		return []report.Setting{report.Set("server", t.Address)}
	}
	kind := "own"
	if t.bare {
		kind = "bare"
	}
	s := []report.Setting{report.Set("server", kind), report.Set("file system", report.FileSystem(t.data))}
	if t.bare {
		s = append(s, report.Set("memtable", fmt.Sprint(t.memtable, " MiB")))
	}
	if t.asked != "" {
		s = append(s, report.Set("server flags", t.asked))
	}
	if t.keep {
		s = append(s, report.Set("data", t.data))
	}
	return s
}
