package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inCopy makes a folder with the inputs and outputs of the generator and goes
// there for the rest of the test.
func inCopy(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"codes.json", "codes_gen.go", "SPEC.md"} {
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

// TestGeneratedFilesAreFresh fails when codes.json was changed and go generate
// was not run.
func TestGeneratedFilesAreFresh(t *testing.T) {
	source, spec := read(t, "../codes_gen.go"), read(t, "../SPEC.md")
	inCopy(t)
	if err := generate(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, "codes_gen.go"), source) {
		t.Error("codes_gen.go is stale: run go generate ./protocol")
	}
	if !bytes.Equal(read(t, "SPEC.md"), spec) {
		t.Error("the code table of SPEC.md is stale: run go generate ./protocol")
	}
}

func TestNewCodeIsGenerated(t *testing.T) {
	codes := []code{{1007, "client_id_odd", "retry", "the id is odd"}}
	source, err := goSource(codes)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CodeClientIDOdd Code = 1007 // retry: the id is odd",
		`CodeClientIDOdd: {"client_id_odd", ActionRetry, "the id is odd"},`,
	} {
		if !strings.Contains(string(source), want) {
			t.Errorf("no %q in\n%s", want, source)
		}
	}
	spec, err := replaceTable([]byte("before\n"+tableBegin+"old\n"+tableEnd+"after\n"), codes)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n" + tableBegin + "| number | name | the client must | meaning |\n|---|---|---|---|\n" +
		"| 1007 | `client_id_odd` | retry | the id is odd |\n" + tableEnd + "after\n"
	if string(spec) != want {
		t.Errorf("the specification became\n%s", spec)
	}
}

func TestBadCodesAreRefused(t *testing.T) {
	good := code{1000, "busy", "retry", "a queue is full"}
	for want, codes := range map[string][]code{
		"there are no codes":      {},
		"unknown action":          {{1000, "busy", "wait", "x"}},
		"not in the range":        {{2000, "busy", "retry", "x"}},
		"1000 follows 1000":       {good, {1000, "other", "retry", "x"}},
		"1000 follows 1001":       {{1001, "other", "retry", "x"}, good},
		"the name is taken":       {good, {1001, "busy", "retry", "x"}},
		"is not words":            {{1000, "very__busy", "retry", "x"}},
		"is not one line":         {{1000, "busy", "retry", ""}},
		"is not one line without": {{1000, "busy", "retry", "a | b"}},
	} {
		raw, err := json.Marshal(map[string]any{"comment": "c", "codes": codes})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error is %v, want %q", codes, err, want)
		}
	}
	if _, err := parse([]byte(`{"codes": [{"nr": 1000}]}`)); err == nil {
		t.Error("an unknown member was accepted")
	}
}

// TestNothingIsWrittenHalf breaks the second output: the first must stay too.
func TestNothingIsWrittenHalf(t *testing.T) {
	inCopy(t)
	for name, content := range map[string]string{"SPEC.md": "no markers\n", "codes_gen.go": "old\n"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := generate(); err == nil {
		t.Fatal("generated into a specification without markers")
	}
	if got := read(t, "codes_gen.go"); string(got) != "old\n" {
		t.Errorf("codes_gen.go became\n%s", got)
	}
}
