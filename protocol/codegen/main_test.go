package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inputs and generated are what the generator reads and writes; it also writes
// SPEC.md.
var (
	inputs    = []string{"codes.json", "limits.json", "frames.json", "SPEC.md"}
	generated = []string{"codes_gen.go", "limits_gen.go", "frames_gen.go", "frames_gen_test.go"}
)

// inCopy makes a folder with the inputs and outputs of the generator and goes
// there for the rest of the test.
func inCopy(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range append(inputs, generated...) {
		if err := os.WriteFile(filepath.Join(dir, name), read(t, "../"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestGeneratedFilesAreFresh fails when an input was changed and go generate was
// not run.
func TestGeneratedFilesAreFresh(t *testing.T) {
	want := make(map[string][]byte)
	for _, name := range append(generated, "SPEC.md") {
		want[name] = read(t, "../"+name)
	}
	inCopy(t)
	if err := generate(); err != nil {
		t.Fatal(err)
	}
	for name, content := range want {
		if !bytes.Equal(read(t, name), content) {
			t.Errorf("%s is stale: run go generate ./protocol", name)
		}
	}
}

// TestNothingIsWrittenHalf breaks each input in turn: no output changes.
func TestNothingIsWrittenHalf(t *testing.T) {
	for name, content := range map[string]string{
		"SPEC.md":     "no markers\n",
		"codes.json":  `{"codes": []}`,
		"limits.json": `{"limits": []}`,
		"frames.json": `{"frames": []}`,
	} {
		t.Run(name, func(t *testing.T) {
			inCopy(t)
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, output := range generated {
				if err := os.WriteFile(output, []byte("old\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := generate(); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
				t.Errorf("error is %v, want one of %s", err, name)
			}
			for _, output := range generated {
				if got := read(t, output); string(got) != "old\n" {
					t.Errorf("%s became\n%s", output, got)
				}
			}
		})
	}
}

func TestMarkersOfTheSpecification(t *testing.T) {
	spec := "before\n<!-- codes: generated from codes.json by go generate -->\nold\n<!-- codes: end -->\nafter\n"
	got, err := replace([]byte(spec), "codes", "codes.json", "new\n")
	if want := strings.Replace(spec, "old", "new", 1); err != nil || string(got) != want {
		t.Errorf("error is %v, the specification became\n%s", err, got)
	}
	for _, bad := range []string{"", strings.Replace(spec, "end", "stop", 1), strings.Replace(spec, "codes.json", "code.json", 1)} {
		if _, err := replace([]byte(bad), "codes", "codes.json", "new\n"); err == nil {
			t.Errorf("replaced a part of\n%s", bad)
		}
	}
}

func TestTexts(t *testing.T) {
	for name, want := range map[string]string{"bad_client_id": "BadClientID", "id": "ID", "send": "Send", "push_ack": "PushAck"} {
		if got := camel(name); got != want {
			t.Errorf("%s is %s in Go, want %s", name, got, want)
		}
	}
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := list(words); got != want {
			t.Errorf("%q are listed as %q, want %q", words, got, want)
		}
	}
	for text, want := range map[string]string{"a message": "A message.", "are you there?": "Are you there?", "Done.": "Done."} {
		if got := sentence(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got := wrap("one two three fourteen", 9); strings.Join(got, "|") != "one two|three|fourteen" {
		t.Errorf("wrapped as %q", got)
	}
}
