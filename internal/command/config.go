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

// configuration gives flags their values from a settings file in TOML. The keys are flag names. At
// the top of the file a key holds for every command that has the flag. In a table named like a
// command it holds for that command alone, and goes before a key at the top. So one file serves all
// roles, and each reads its part. The environment goes before the file; kong's own resolver would
// do it the other way round.
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

// Validate refuses keys that are not flags, because they are typing errors, and suggests the flag
// that may have been meant. It also refuses values that no flag of the name could have, for all
// commands and not just the one that runs.
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
			if err := checkAmong(app.Node, key, c.values[key], ""); err != nil {
				return err
			}
			continue
		}
		if key == "config" {
			return errors.New(`the settings file has a table "config": gannet config check reads the settings of the roles, and has none of its own`)
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
			if err := checkAmong(app.Children[command], k, table[k], key); err != nil {
				return err
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
			node = node.Parent // for gannet bench pairs the table is that of bench
		}
		if table, ok := c.values[node.Name].(map[string]any); ok && table[flag.Name] != nil {
			return table[flag.Name], checkValue(flag, table[flag.Name], node.Name)
		}
	}
	value := c.values[flag.Name]
	if value == nil {
		return nil, nil
	}
	return value, checkValue(flag, value, "")
}

// checkAmong says what is wrong with a value if no flag of this name can have it, in a command and
// all commands below it. Commands may have flags of one name with different types: then the value
// is for those commands that can use it.
func checkAmong(node *kong.Node, name string, value any, table string) (first error) {
	for _, flag := range flagsOf(node) {
		if flag.Name != name {
			continue
		}
		err := checkValue(flag, value, table)
		if err == nil {
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}

// flagsOf gives the flags of a command and all below it.
func flagsOf(node *kong.Node) []*kong.Flag {
	flags := slices.Clone(node.Flags)
	for _, child := range node.Children {
		flags = append(flags, flagsOf(child)...)
	}
	return flags
}

// flagNames gives the names of the flags of a command and all below it.
func flagNames(node *kong.Node) (names []string) {
	for _, flag := range flagsOf(node) {
		names = append(names, flag.Name)
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

// distance is how many letters must be inserted, removed or changed to turn a into b (Levenshtein).
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
