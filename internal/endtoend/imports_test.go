package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// Who may import whom. A folder may import what its rule allows, itself, and the
// standard library; the longest matching folder's rule counts. Tests are free.
var importRules = []struct {
	folder string
	allows []string
}{
	{"gannet", []string{"*"}}, // the command alone composes
	{"gannet/protocol", nil},
	{"gannet/gateway", []string{
		"gannet/protocol", "github.com/cloudwego/netpoll", "github.com/bytedance/gopkg/util/gopool", "golang.org/x/sys/unix",
	}},
	{"gannet/logic", []string{"gannet/protocol", "github.com/golang-jwt/jwt/v5"}},
	{"gannet/logic/embedded", []string{"gannet/logic", "gannet/protocol", "github.com/cockroachdb/pebble/v2"}},
	{"gannet/logic/conformance", []string{"gannet/logic", "gannet/protocol"}},
	{"gannet/transfer", []string{"gannet/protocol"}},
	{"gannet/transfer/embedded", []string{"gannet/transfer", "gannet/protocol"}},
	{"gannet/transfer/conformance", []string{"gannet/transfer", "gannet/protocol"}},
	{"gannet/sdk/go", []string{"gannet/protocol"}},
	{"gannet/sdk/go/examples", []string{"gannet/sdk/go"}},
	{"gannet/benchmark", []string{
		"gannet/sdk/go", "gannet/protocol", "github.com/HdrHistogram/hdrhistogram-go",
		"github.com/cloudwego/netpoll", "github.com/cockroachdb/pebble/v2", "golang.org/x/sys/unix",
	}},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); packages++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		folder, allows := ruleOf(p.ImportPath)
		if folder == "gannet" && p.ImportPath != "gannet" {
			t.Errorf("%s: no rule says what it may import", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if !allowed(imported, folder, allows) {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
	if packages < len(importRules)-1 {
		t.Errorf("%d packages looked at: a rule is out of date", packages)
	}
}

func ruleOf(path string) (folder string, allows []string) {
	for _, r := range importRules {
		if within(path, r.folder) && len(r.folder) > len(folder) {
			folder, allows = r.folder, r.allows
		}
	}
	return folder, allows
}

func allowed(imported, folder string, allows []string) bool {
	first, _, _ := strings.Cut(imported, "/")
	if first != "gannet" && !strings.Contains(first, ".") {
		return true // the standard library
	}
	if to, _ := ruleOf(imported); first == "gannet" && to == folder {
		return true
	}
	for _, a := range allows {
		if a == "*" || imported == a || first != "gannet" && within(imported, a) {
			return true
		}
	}
	return false
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

func TestImportRulesCatch(t *testing.T) {
	for _, c := range []struct{ from, imported string }{
		{"gannet/protocol", "golang.org/x/sys/unix"},
		{"gannet/gateway", "gannet/logic"},
		{"gannet/logic", "github.com/cockroachdb/pebble/v2"},
		{"gannet/logic", "gannet/logic/embedded"},
		{"gannet/sdk/go", "gannet/gateway"},
		{"gannet/benchmark", "gannet/logic"},
		{"gannet/transfer/embedded", "gannet/logic"},
	} {
		folder, allows := ruleOf(c.from)
		if allowed(c.imported, folder, allows) {
			t.Errorf("%s may import %s", c.from, c.imported)
		}
	}
}
