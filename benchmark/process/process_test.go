package process

import (
	"fmt"
	"strings"
	"testing"
)

func TestAChildThatFailsIsExplained(t *testing.T) {
	_, err := Start(t.Context(), Command{Executable: "/bin/sh", Args: []string{"-c", "echo no such luck >&2; exit 3"}}, t.TempDir()+"/ready")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("a child that ends at once: %v", err)
	}
}

func TestAKilledChildDidNotEndWell(t *testing.T) {
	ready := t.TempDir() + "/ready"
	script := fmt.Sprintf(`echo '{"listen":"127.0.0.1:1","pid":7,"debug":"127.0.0.1:2"}' > %[1]s.new; mv %[1]s.new %[1]s; exec sleep 60`, ready)
	p, err := Start(t.Context(), Command{Executable: "/bin/sh", Args: []string{"-c", script}}, ready)
	if err != nil {
		t.Fatal(err)
	}
	if p.Listen != "127.0.0.1:1" || p.PID != 7 || p.Debug != "127.0.0.1:2" {
		t.Errorf("the ready file was read as %+v", p.Ready)
	}
	p.Kill()
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("stopping a killed child gave %v", err)
	}
}

func TestTheTailOfStderrIsKept(t *testing.T) {
	var tl tail
	for i := range 10_000 {
		fmt.Fprintf(&tl, "line %d\n", i)
	}
	got := tl.String()
	if len(got) > stderrTail || !strings.HasSuffix(got, "line 9999") {
		t.Errorf("%d bytes kept, ending in %q", len(got), got[max(0, len(got)-20):])
	}
}
