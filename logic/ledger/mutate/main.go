// Command mutate breaks the ledger on purpose, one promise at a time, and says
// which of the breaks its tests do not notice:
//
//	go run ./logic/ledger/mutate
//
// No file is changed: each mutant is built beside the tree (go test -overlay). It
// ends with 1 if a mutant survives, cannot be built or has no place in the code any
// more, and if the tests fail without any.
package main

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
	"strings"
	"sync"
	"time"
)

const (
	pkg     = "gannet/logic/ledger"
	atOnce  = 2
	patient = 5 * time.Minute // of a machine that is busy with other things
)

// mutant is one way to break the ledger.
type mutant struct {
	file    string
	old     string // occurs in the file exactly once
	new     string
	promise string // what does not hold then
}

// rounds are the tests in the order in which a mutant meets them: the quick ones
// first.
var rounds = [][]string{
	{"-test.skip=^TestRandomGames$"},
	{"-test.run=^TestRandomGames$"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		return fmt.Errorf("cannot find %s: %w", pkg, err)
	}
	source := strings.TrimSpace(string(out))
	work, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	begun := time.Now()
	by, err := try(ctx, source, filepath.Join(work, "whole"), nil)
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
				m := &mutants[i]
				by, err := try(ctx, source, filepath.Join(work, fmt.Sprint(i)), m)
				mu.Lock()
				done++
				said := "noticed by " + by
				switch {
				case err != nil:
					said = "NOT TRIED: " + err.Error()
				case by == "":
					said = "SURVIVED: " + strings.Join(strings.Fields(m.old), " ") + " -> " + strings.Join(strings.Fields(m.new), " ")
				default:
					noticed++
				}
				fmt.Printf("%2d/%d %s: %s: %s\n", done, len(mutants), m.file, m.promise, said)
				mu.Unlock()
			}
		})
	}
	for i := range mutants {
		todo <- i
	}
	close(todo)
	workers.Wait()
	fmt.Printf("%d mutants, %d noticed (%v)\n", len(mutants), noticed, time.Since(begun).Round(time.Second))
	if noticed != len(mutants) {
		return errors.New("some mutants were not noticed")
	}
	return nil
}

// try builds the tests with a mutant and runs them. by is the test that noticed it,
// empty if none did. An error says that this cannot be told.
func try(ctx context.Context, source, work string, m *mutant) (by string, err error) {
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
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("it cannot be built (%w):\n%s", err, out)
	}
	for _, round := range rounds {
		// A mutant that hangs is noticed by the time that is given to it.
		test := exec.CommandContext(ctx, binary, append(round, "-test.failfast", "-test.count=1", "-test.timeout=4m")...)
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
func (m *mutant) overlay(source, work string) (path string, err error) {
	replace := map[string]string{}
	if m != nil {
		original := filepath.Join(source, m.file)
		code, err := os.ReadFile(original)
		if err != nil {
			return "", err
		}
		if n := bytes.Count(code, []byte(m.old)); n != 1 {
			return "", fmt.Errorf("%q is %d times in %s, not once; give the mutant its new place", m.old, n, m.file)
		}
		broken := filepath.Join(work, m.file)
		if err := os.WriteFile(broken, bytes.Replace(code, []byte(m.old), []byte(m.new), 1), 0o600); err != nil {
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
