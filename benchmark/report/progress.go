package report

import (
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// Progress shows how a scenario gets on: one line that is rewritten in place on
// a terminal, a line each time elsewhere. For one goroutine.
type Progress struct {
	w        io.Writer
	terminal bool
	width    int // of the line that stands on the terminal
}

// NewProgress shows on w.
func NewProgress(w io.Writer) *Progress {
	p := &Progress{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// Showf replaces the line. Errors of the writer are not the scenario's business.
func (p *Progress) Showf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	width := utf8.RuneCountInString(line)
	fmt.Fprintf(p.w, "\r%s%*s", line, max(0, p.width-width), "")
	p.width = width
}

// End leaves the line as it stands; what is written next begins a new one.
func (p *Progress) End() {
	if p.width > 0 {
		fmt.Fprintln(p.w)
	}
	p.width = 0
}
