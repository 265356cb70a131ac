// Command gannet is an instant-messaging server and its tools. Alone it starts
// everything in one process; see gannet --help.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// release is the version that the next release carries.
const release = "0.1.0"

type cli struct {
	Config  kong.ConfigFlag  `placeholder:"FILE" help:"Read flags from this JSON file; keys are flag names."`
	Version kong.VersionFlag `help:"Print the version and exit."`

	Serve serveCmd `cmd:"" default:"withargs" help:"Start a complete server in one process (the default)."`
	Chat  chatCmd  `cmd:"" help:"Chat with another user, a line at a time."`
	Token tokenCmd `cmd:"" help:"Print a token with which a user can log in."`
	Bench benchCmd `cmd:"" help:"Measure a server, and check that it loses nothing."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	var c cli
	parser, err := kong.New(&c,
		kong.Name("gannet"),
		kong.Description("An instant-messaging server with a raw TCP front door. Without a command it starts a complete server; every flag can also be set in the environment (GANNET_LISTEN for --listen) or in a JSON file (--config, ./gannet.json)."),
		kong.DefaultEnvars("GANNET"),
		kong.Configuration(readConfiguration, "./gannet.json"),
		kong.Vars{"version": "gannet " + version()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ShortUsageOnError(),
	)
	if err != nil {
		fail(err) // only a configuration file that cannot be read
	}
	command, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	if err := command.Run(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "gannet:", err)
	os.Exit(1)
}

// version is the release with the commit that it was built from, where the build
// knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	v := release
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v += "+" + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			v += "-modified"
		}
	}
	return v
}

// commandName is how this program was called, for lines to be pasted.
func commandName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ."
	}
	if filepath.Base(os.Args[0]) == os.Args[0] {
		return os.Args[0] // found through PATH
	}
	if wd, err := os.Getwd(); err == nil {
		if abs, err := filepath.Abs(os.Args[0]); err == nil {
			if rel, err := filepath.Rel(wd, abs); err == nil && !strings.HasPrefix(rel, "..") {
				return "./" + rel
			}
		}
	}
	return os.Args[0]
}

// openFiles gives how many files this process may have open, 0 if unknown.
func openFiles() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<30))
}
