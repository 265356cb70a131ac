package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
)

// Script is a Lua script, known to servers by its digest.
type Script = goredis.Script

// NewScript makes a Script.
func NewScript(source string) *Script { return goredis.NewScript(source) }

// Call is a run of a script. All its keys lie in one slot.
type Call struct {
	Script *Script
	Keys   []string
	Args   []any
}

// Run runs the scripts in one pipeline and gives their results in order. If a server does not
// know a script, it has done nothing, and Run sends it the source. The error is that of the first
// call that failed; other calls may have been run.
func (c *Client) Run(ctx context.Context, calls ...Call) ([]any, error) {
	results, errs := c.Each(ctx, calls...)
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

// Each is like Run, but gives an error for each call: in a cluster one master may be away while
// others answer.
func (c *Client) Each(ctx context.Context, calls ...Call) (results []any, errs []error) {
	if len(calls) == 0 {
		return nil, nil
	}
	ctx, cancel := c.Within(ctx)
	defer cancel()
	results, errs = make([]any, len(calls)), make([]error, len(calls))
	var unknown []int
	pipe := c.Pipeline()
	for i := range calls {
		calls[i].Script.EvalSha(ctx, pipe, calls[i].Keys, calls[i].Args...)
	}
	commands, _ := pipe.Exec(ctx) // its error is that of one of the commands
	for i, command := range commands {
		result, err := command.(*goredis.Cmd).Result()
		switch {
		case err == nil || errors.Is(err, goredis.Nil):
			results[i] = result
		case goredis.HasErrorPrefix(err, "NOSCRIPT"):
			unknown = append(unknown, i)
		default:
			errs[i] = err
		}
	}
	if len(unknown) == 0 {
		return results, errs
	}
	pipe = c.Pipeline()
	for _, i := range unknown {
		calls[i].Script.Eval(ctx, pipe, calls[i].Keys, calls[i].Args...)
	}
	commands, _ = pipe.Exec(ctx)
	for n, command := range commands {
		result, err := command.(*goredis.Cmd).Result()
		if err != nil && !errors.Is(err, goredis.Nil) {
			errs[unknown[n]] = err
			continue
		}
		results[unknown[n]] = result
	}
	return results, errs
}
