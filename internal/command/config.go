package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// configuration gives flags their values from a JSON file whose keys are flag
// names. What the environment says goes before it; with kong's own resolver it
// would be the other way round.
type configuration struct {
	values map[string]any
}

func readConfiguration(r io.Reader) (kong.Resolver, error) {
	c := &configuration{}
	if err := json.NewDecoder(r).Decode(&c.values); err != nil {
		return nil, fmt.Errorf("not a JSON object of flags: %w", err)
	}
	return c, nil
}

// Validate refuses keys that are no flag of any command: they are typing errors.
func (c *configuration) Validate(app *kong.Application) error {
	known := map[string]bool{}
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	for key := range c.values {
		if !known[key] {
			return fmt.Errorf("the configuration file sets %q, which is no flag", key)
		}
	}
	return nil
}

// Resolve is called for each flag that the command line leaves open.
func (c *configuration) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	return c.values[flag.Name], nil
}
