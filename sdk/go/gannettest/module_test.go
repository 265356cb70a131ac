package gannettest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestExample(t *testing.T) { testApp(t) }

// A module of somebody else can use the package by a replace, and its test runs.
func TestFromAnotherModule(t *testing.T) {
	gannet, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	// Which versions it needs is known here, so that nothing has to be looked up.
	mod, err := os.ReadFile(filepath.Join(gannet, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(gannet, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": strings.Replace(string(mod), "module gannet\n", "module example.com/app\n", 1) +
			"\nrequire gannet v0.0.0\nreplace gannet => " + gannet + "\n",
		"go.sum": string(sum),
		"app_test.go": `package app

import (
	"testing"

	"gannet/sdk/go"
	"gannet/sdk/go/gannettest"
)

func TestApp(t *testing.T) {
	s := gannettest.Start(t)
	c, err := gannet.Dial(t.Context(), s.Address(), s.Token(7))
	if err != nil {
		t.Fatal(err)
	}
	t.Log("logged in as user", c.User())
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	test := exec.CommandContext(t.Context(), "go", "test", "-v", "-mod=mod", "./...")
	test.Dir = dir
	test.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off")
	out, err := test.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "logged in as user 7") {
		t.Errorf("%v:\n%s", err, out)
	}
}
