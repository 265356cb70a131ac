// Package mutate breaks a package on purpose, one promise at a time, and says which of
// the breaks its tests do not notice. No file is changed: each mutant is built beside the
// tree (go test -overlay).
package mutate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	atOnce  = 2
	patient = 5 * time.Minute // of a machine that is busy with other things
)

// Mutant is one way to break a package.
type Mutant struct {
	File    string
	Old     string // occurs in the file exactly once
	New     string
	Promise string // what does not hold then
}

// Table is what Main tries.
type Table struct {
	Package string

	// Rounds are arguments of the tests in the order in which a mutant meets them: the
	// quick ones first.
	Rounds [][]string

	Mutants []Mutant
}

// Main tries all mutants. It ends the process with 1 if one survives, cannot be built or
// has no place in the code any more, and if the tests fail without any.
func Main(table Table) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := table.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func (t *Table) run(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", t.Package).Output()
	if err != nil {
		return fmt.Errorf("cannot find %s: %w", t.Package, err)
	}
	source := strings.TrimSpace(string(out))
	work, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	begun := time.Now()
	by, err := t.try(ctx, source, filepath.Join(work, "whole"), nil)
	if err != nil {
		return err
	}
	if by != "" {
		return fmt.Errorf("the tests fail without any mutant: %s", by)
	}
	var mu sync.Mutex
	noticed, done := 0, 0
	todo := make(chan int)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range todo {
				m := &t.Mutants[i]
				by, err := t.try(ctx, source, filepath.Join(work, fmt.Sprint(i)), m)
				mu.Lock()
				done++
				said := "noticed by " + by
				switch {
				case err != nil:
					said = "NOT TRIED: " + err.Error()
				case by == "":
					said = "SURVIVED: " + strings.Join(strings.Fields(m.Old), " ") + " -> " + strings.Join(strings.Fields(m.New), " ")
				default:
					noticed++
				}
				fmt.Printf("%2d/%d %s: %s: %s\n", done, len(t.Mutants), m.File, m.Promise, said)
				mu.Unlock()
			}
		})
	}
	for i := range t.Mutants {
		todo <- i
	}
	close(todo)
	workers.Wait()
	fmt.Printf("%d mutants, %d noticed (%v)\n", len(t.Mutants), noticed, time.Since(begun).Round(time.Second))
	if noticed != len(t.Mutants) {
		return errors.New("some mutants were not noticed")
	}
	return nil
}

// try builds the tests with a mutant and runs them. by is the test that noticed it,
// empty if none did. An error says that this cannot be told.
func (t *Table) try(ctx context.Context, source, work string, m *Mutant) (by string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	if err := os.Mkdir(work, 0o700); err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	overlay, err := m.overlay(source, work)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(work, "test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, t.Package).CombinedOutput(); err != nil {
		return "", fmt.Errorf("it cannot be built (%w):\n%s", err, out)
	}
	for _, round := range t.Rounds {
		// A mutant that hangs is noticed by the time that is given to it.
		test := exec.CommandContext(ctx, binary, append(slices.Clip(round), "-test.failfast", "-test.count=1", "-test.timeout=4m")...)
		test.Dir = source
		out, err := test.CombinedOutput()
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err == nil {
			continue
		}
		if by := failure(out); by != "" {
			return by, nil
		}
		return "", fmt.Errorf("its tests end with %w and no failure:\n%s", err, out)
	}
	return "", nil
}

// overlay writes the broken file and the list that puts it in the place of the
// other.
func (m *Mutant) overlay(source, work string) (path string, err error) {
	replace := map[string]string{}
	if m != nil {
		original := filepath.Join(source, m.File)
		code, err := os.ReadFile(original)
		if err != nil {
			return "", err
		}
		if n := bytes.Count(code, []byte(m.Old)); n != 1 {
			return "", fmt.Errorf("%q is %d times in %s, not once; give the mutant its new place", m.Old, n, m.File)
		}
		broken := filepath.Join(work, m.File)
		if err := os.WriteFile(broken, bytes.Replace(code, []byte(m.Old), []byte(m.New), 1), 0o600); err != nil {
			return "", err
		}
		replace[original] = broken
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(work, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

var (
	failed   = regexp.MustCompile(`(?m)^--- FAIL: (\w+)`)
	panicked = regexp.MustCompile(`(?m)^(panic|fatal error): (.*)$`)
)

// failure names the test that failed, or the panic that ended them all.
func failure(out []byte) string {
	if found := failed.FindSubmatch(out); found != nil {
		return string(found[1])
	}
	if found := panicked.FindSubmatch(out); found != nil {
		return string(found[0])
	}
	return ""
}
