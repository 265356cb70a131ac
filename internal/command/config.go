package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
)

// configuration gives flags their values from a settings file, in TOML. Its keys are
// flag names: at its top they hold for every command that has the flag, in a table that is
// named like a command for that command alone, which goes before. So one file serves all
// roles, and each reads its part. What the environment says goes before the file; with
// kong's own resolver it would be the other way round.
type configuration struct {
	values map[string]any
}

func readConfiguration(r io.Reader) (kong.Resolver, error) {
	c := &configuration{}
	_, err := toml.NewDecoder(r).Decode(&c.values)
	var wrong toml.ParseError
	if errors.As(err, &wrong) {
		return nil, fmt.Errorf("the settings file is no TOML: %s", strings.TrimSpace(wrong.ErrorWithPosition()))
	}
	if err != nil {
		return nil, fmt.Errorf("the settings file cannot be read: %w", err)
	}
	return c, nil
}

// notInFile has the flags that are acted on while the command line is read, before there
// is a settings file.
var notInFile = []string{"help", "version", "config"}

// Validate refuses keys that are no flag, for they are typing errors, and says which flag
// may have been meant.
func (c *configuration) Validate(app *kong.Application) error {
	everywhere := flagNames(app.Node)
	for _, key := range sorted(c.values) {
		table, isTable := c.values[key].(map[string]any)
		if !isTable {
			if slices.Contains(notInFile, key) {
				return fmt.Errorf("the settings file sets %q, which is for the command line", key)
			}
			if !slices.Contains(everywhere, key) {
				return fmt.Errorf("the settings file sets %q, which is no flag%s", key, didYouMean(key, everywhere))
			}
			continue
		}
		command := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return n.Name == key })
		if command < 0 {
			names := make([]string, len(app.Children))
			for i, n := range app.Children {
				names[i] = n.Name
			}
			return fmt.Errorf("the settings file has a table %q, which is no command%s", key, didYouMean(key, names))
		}
		names := flagNames(app.Children[command])
		for _, k := range sorted(table) {
			if slices.Contains(notInFile, k) {
				return fmt.Errorf("the settings file sets %q in the table %q, which is for the command line", k, key)
			}
			if !slices.Contains(names, k) {
				return fmt.Errorf("the settings file sets %q in the table %q, which is no flag of gannet %s%s", k, key, key, didYouMean(k, names))
			}
		}
	}
	return nil
}

// Resolve is called for each flag that the command line leaves open.
func (c *configuration) Resolve(at *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	if node := at.Selected(); node != nil {
		for node.Parent != nil && node.Parent.Parent != nil {
			node = node.Parent // of gannet bench pairs it is bench that has a table
		}
		if table, ok := c.values[node.Name].(map[string]any); ok && table[flag.Name] != nil {
			return table[flag.Name], nil
		}
	}
	return c.values[flag.Name], nil
}

// flagNames gives the names of the flags of a command and all below it.
func flagNames(node *kong.Node) (names []string) {
	for _, flag := range node.Flags {
		names = append(names, flag.Name)
	}
	for _, child := range node.Children {
		names = append(names, flagNames(child)...)
	}
	return names
}

func sorted[V any](values map[string]V) []string { return slices.Sorted(maps.Keys(values)) }

// didYouMean names the nearest of the names, if one is near.
func didYouMean(name string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	nearest := slices.MinFunc(names, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	if distance(name, nearest) > max(2, len(name)/3) {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", nearest)
}

// distance is how many letters have to be put in, taken out or changed to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := corner
			if a[i] != b[j] {
				changed++
			}
			corner = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
