package architecture

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	named  = regexp.MustCompile("`([A-Za-z0-9._-]*/[A-Za-z0-9._/-]*)`")
	linked = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced = regexp.MustCompile("(?ms)^```.*?^```")
)

// What the documents name exists: every file or folder in backticks that has a slash
// in its name, at the root, beside the document or in a folder that the same line
// names, and the target of every relative link.
func TestDocumentsNameWhatExists(t *testing.T) {
	seen := 0
	walk(t, func(document string, content []byte) {
		seen++
		for _, missing := range missing(root, document, string(content)) {
			t.Errorf("%s names %s, which does not exist", document, missing)
		}
	}, ".md")
	if seen < 3 {
		t.Errorf("only %d documents were looked at", seen)
	}
}

// missing gives what a document names and is not there. Of a changelog only the
// newest section counts: the others tell of what was.
func missing(root, document, content string) (names []string) {
	folder := path.Dir(document)
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(root, name))
		return err == nil
	}
	content = fenced.ReplaceAllString(content, "")
	if path.Base(document) == "CHANGELOG.md" {
		sections := strings.SplitN(content, "\n## ", 3)
		content = strings.Join(sections[:min(2, len(sections))], "\n## ")
	}
	for _, m := range linked.FindAllStringSubmatch(content, -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target == "" || strings.Contains(target, ":") {
			continue // in this document, or elsewhere
		}
		if !exists(path.Join(folder, target)) {
			names = append(names, fmt.Sprintf("(%s)", m[1]))
		}
	}
	for line := range strings.Lines(content) {
		places := []string{"", folder}
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			name := m[1]
			if strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./gannet") {
				continue // a path of the debug endpoint, or what the program makes
			}
			at := slices.IndexFunc(places, func(place string) bool { return exists(path.Join(place, name)) })
			if at < 0 {
				names = append(names, "`"+name+"`")
			} else if strings.HasSuffix(name, "/") {
				places = append(places, path.Join(places[at], name))
			}
		}
	}
	return names
}

// "The parts" of the README names the adapters of each role, and what the roles use of internal:
// a newcomer finds every folder that a message goes through.
func TestReadmeNamesTheParts(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, parts, _ := strings.Cut(string(b), "\n## The parts\n")
	parts, _, _ = strings.Cut(parts, "\n## ")
	var folders []string
	for _, role := range []string{"gateway", "logic", "transfer"} {
		for _, mode := range []string{"embedded", "cluster"} {
			if _, err := os.Stat(filepath.Join(root, role, mode)); err == nil {
				folders = append(folders, role+"/"+mode)
			}
		}
	}
	for _, r := range importRules {
		if !within(r.folder, "gannet/gateway") && !within(r.folder, "gannet/logic") && !within(r.folder, "gannet/transfer") {
			continue
		}
		for _, a := range r.allows {
			if name, ok := strings.CutPrefix(a, "gannet/internal/"); ok && name != "mutate" { // which is for tests alone
				folders = append(folders, "internal/"+strings.Split(name, "/")[0])
			}
		}
	}
	slices.Sort(folders)
	folders = append(slices.Compact(folders), "internal/rocketmq", "internal/command", "idl/rpc")
	for _, f := range folders {
		if !strings.Contains(parts, "`"+f+"/") {
			t.Errorf("it does not name %s/", f)
		}
	}
	if len(folders) < 12 {
		t.Errorf("only %v were looked for", folders)
	}
}

func TestMissingNamesAreFound(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"docs/figures.md", "logic/forward.go", "logic/ledger/apply.go"} {
		if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content := "`logic/forward.go`, `logic/`, `/healthz`, `./gannet-data`, `go test ./...`, `SEND`, [a](figures.md#top),\n" +
		"[b](https://example.com/x), [c](#here), [d](../logic/forward.go)\n```\n`in/a/fence.go`\n```\n" +
		"`logic/`: `ledger/` and `ledger/apply.go`\n`ledger/apply.go` `logic/append.go`, `gone/`, [e](gone.md), [f](../docs/gone.md#x)\n"
	got := strings.Join(missing(dir, "docs/guide.md", content), " ")
	if want := "(gone.md) (../docs/gone.md#x) `ledger/apply.go` `logic/append.go` `gone/`"; got != want {
		t.Errorf("missing: %s\nwant:    %s", got, want)
	}
	changes := "# Changes\n\n## Next\n`logic/forward.go` `gone/a.go`\n\n## 0.1\n`gone/b.go`\n"
	if got := missing(dir, "CHANGELOG.md", changes); len(got) != 1 || got[0] != "`gone/a.go`" {
		t.Errorf("missing of a changelog: %v", got)
	}
}
