package command

import (
	"fmt"
	"io"
	"log/slog"
)

// processFlags say how a server process can be looked at: the same for every role.
type processFlags struct {
	Debug       string `placeholder:"ADDR" help:"Address of the debug endpoint (metrics, health, profiles, counters, memory); off by default. Keep it on loopback."`
	DebugPublic bool   `name:"debug-public" help:"Let --debug be an address that other machines reach. It has no authentication and shows the memory of the server."`
	ReadyFile   string `placeholder:"FILE" help:"Write the addresses and the process id to this file, as JSON, once the process is ready."`
	LogLevel    string `default:"info" enum:"debug,info,warn,error" help:"Least severe log line to print: debug, info, warn or error."`
	LogFormat   string `default:"text" enum:"text,json" help:"How log lines are written: text (key=value) or json."`
}

// logger gives the log, as the flags say.
func (c *processFlags) logger(to io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(to, options)), nil
	}
	return slog.New(slog.NewTextHandler(to, options)), nil
}

// Validate refuses a debug endpoint that would be open to strangers by mistake.
func (c *processFlags) Validate() error {
	if c.Debug == "" {
		return nil
	}
	if err := checkListen("debug", c.Debug); err != nil {
		return err
	}
	loopback, err := isLoopback(c.Debug)
	if err != nil {
		return fmt.Errorf("--debug %s: %w", c.Debug, err)
	}
	if !loopback && !c.DebugPublic {
		return fmt.Errorf("--debug %s can be reached from other machines, and whoever reaches it sees the memory of the server: put it on loopback (127.0.0.1), or add --debug-public if something else keeps strangers off", c.Debug)
	}
	return nil
}
