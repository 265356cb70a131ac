package report

import (
	"bytes"
	"testing"
)

func TestProgressWritesLines(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.Showf("1 s")
	p.Showf("%d s", 2)
	p.End()
	if got, want := out.String(), "1 s\n2 s\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestProgressRewritesALineOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	p.terminal = true
	p.Showf("longer")
	p.Showf("short")
	p.End()
	if got, want := out.String(), "\rlonger\rshort \n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}
