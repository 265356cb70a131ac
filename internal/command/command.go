// Package command is the gannet program: one file a subcommand, and the only place
// where the parts are put together.
package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Config  kong.ConfigFlag  `placeholder:"FILE" help:"Read settings from this TOML file (default: ./gannet.toml, if it is there and only you or root can write it); keys are flag names, a table [serve] is for that command alone."`
	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`

	Serve    serveCmd    `cmd:"" default:"withargs" help:"Start a complete server in one process (the default)."`
	Gateway  gatewayCmd  `cmd:"" help:"Start a gateway of a cluster."`
	Logic    logicCmd    `cmd:"" help:"Start a logic node of a cluster."`
	Transfer transferCmd `cmd:"" help:"Start a transfer node of a cluster."`
	Chat     chatCmd     `cmd:"" help:"Chat with another user, a line at a time."`
	Token    tokenCmd    `cmd:"" help:"Print a token with which a user can log in."`
	Where    whereCmd    `cmd:"" help:"Say where in a cluster a user is connected, or how many are."`
	Parked   parkedCmd   `cmd:"" help:"What transfer of a cluster could not handle, and keeps."`
	Mend     mendCmd     `cmd:"" help:"Mend queues of a cluster that are stopped because records are gone which Redis lacks, or which RocketMQ lost."`
	Settings configCmd   `cmd:"" name:"config" help:"Check the settings of a cluster."`
	Bench    benchCmd    `cmd:"" help:"Measure a server, and check that it loses nothing."`
}

// Main runs the command that the arguments name, and ends the process: with 1 when
// it failed.
func Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	var c cli
	parser, err := newParser(&c, kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fail(err)
	}
	command, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	if err := command.Run(); err != nil {
		fail(err)
	}
}

// newParser gives the parser that fills c from the command line, the environment and the
// configuration file.
func newParser(c *cli, further ...kong.Option) (*kong.Kong, error) {
	return flagParser(c, append([]kong.Option{
		kong.DefaultEnvars("GANNET"),
		kong.PostBuild(func(k *kong.Kong) error { withoutSwitches(k.Model.Node); return nil }),
		kong.Configuration(readConfiguration),
		withDefaultFile(),
	}, further...)...)
}

// flagParser gives a parser that fills c from flags and nothing else.
func flagParser(c *cli, further ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append([]kong.Option{
		kong.Name("gannet"),
		kong.Description("An instant-messaging server with a raw TCP front door. Without a command it starts a complete server; every flag with a value can also be set in the environment (GANNET_LISTEN for --listen) or in a TOML file (--config, ./gannet.toml)."),
		kong.Vars{"version": "gannet " + version()},
		limitDefaults(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ValueFormatter(describeFlag),
		kong.ShortUsageOnError(),
	}, further...)...)
}

// withoutSwitches makes flags without a value independent of the environment. Such a flag asks for
// something once and is no setting, and other programs use names like GANNET_VERSION, too.
func withoutSwitches(node *kong.Node) {
	for _, flag := range node.Flags {
		if flag.IsBool() {
			flag.Envs, flag.Value.Tag.Envs = nil, nil
		}
	}
	for _, child := range node.Children {
		withoutSwitches(child)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "gannet:", strings.TrimPrefix(err.Error(), "gannet: ")) // errors of the SDK begin with this prefix
	os.Exit(1)
}
