package report

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// String gives the report as text.
func (r *Report) String() string {
	var b strings.Builder
	c := r.Conditions
	fmt.Fprintf(&b, "%s, %s, gannet %s\n", r.Scenario, c.Date.Format(time.DateTime+" MST"), c.Version)
	b.WriteString(c.Machine() + "\n")
	for i, s := range r.Settings {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.Name + " " + s.Value)
	}
	b.WriteString("\n\n")

	width := len("lag of the generator")
	for _, f := range r.Figures {
		width = max(width, utf8.RuneCountInString(f.Name))
	}
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "%-*s %12s %s", width, f.Name, Number(f.Value), f.Unit)
		if f.Limit > 0 {
			fmt.Fprintf(&b, ", echo %s: %.0f %%", Number(f.Limit), 100*f.Value/f.Limit)
		}
		b.WriteString("\n")
	}
	if len(r.Latencies) > 0 {
		fmt.Fprintf(&b, "\n%-*s %10s %10s %10s %10s %10s %10s\n", width, "latency in ms", "p50", "p90", "p99", "p99.9", "max", "count")
		for _, l := range r.Latencies {
			fmt.Fprintf(&b, "%-*s %10.3f %10.3f %10.3f %10.3f %10.3f %10d\n", width, l.Name,
				l.P50/1e3, l.P90/1e3, l.P99/1e3, l.P999/1e3, l.Max/1e3, l.Count)
		}
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, note := range r.Notes {
		b.WriteString(note + "\n")
	}
	if r.FaultCount > 0 {
		fmt.Fprintf(&b, "\n%d faults; the first ones:\n", r.FaultCount)
		for _, f := range r.Faults {
			b.WriteString("  " + f + "\n")
		}
	}
	return b.String()
}

// Number writes a figure with three digits or more, large ones in groups.
func Number(v float64) string {
	switch {
	case v == math.Trunc(v) && v < 1000:
		return fmt.Sprintf("%.0f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
