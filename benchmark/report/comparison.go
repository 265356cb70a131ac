package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Comparison sets gannet beside the bare server, figure by figure, as measured in
// turn in one sitting.
type Comparison struct {
	Command    string     `json:"command"`
	Conditions Conditions `json:"conditions"`
	Settings   []Setting  `json:"settings"`
	Beside     string     `json:"beside,omitempty"` // what stands for the bare server, where it is something else
	Rows       []Row      `json:"rows"`
	Notes      []string   `json:"notes,omitempty"`

	// As in Report.
	FaultCount int      `json:"fault_count"`
	Faults     []string `json:"faults,omitempty"`
}

// Row is one figure under one load.
type Row struct {
	Load   string `json:"load"`
	Figure string `json:"figure"`
	Gannet Spread `json:"gannet"`
	Bare   Spread `json:"bare"`
	Echo   Spread `json:"echo"` // of the bare echo; empty where it has no such figure
	Bar    *Bar   `json:"bar,omitempty"`
	Holds  bool   `json:"holds"` // the bar
}

// Spread is what several runs gave for one figure.
type Spread struct {
	Runs   int     `json:"runs"`
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// SpreadOf gives the spread of the values, each of one run.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	median := sorted[half]
	if len(sorted)%2 == 0 {
		median = (sorted[half-1] + median) / 2
	}
	return Spread{Runs: len(sorted), Median: median, Least: sorted[0], Most: sorted[len(sorted)-1]}
}

// String gives the median, and the range of several runs.
func (s Spread) String() string {
	switch s.Runs {
	case 0:
		return ""
	case 1:
		return Number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", Number(s.Median), Number(s.Least), Number(s.Most))
}

// Bar is what a median of gannet's must keep to, beside that of the bare server.
type Bar struct {
	Least  float64 `json:"least,omitempty"`  // at least this share of it
	Most   float64 `json:"most,omitempty"`   // at most this many times it …
	Beyond float64 `json:"beyond,omitempty"` // … or this much more, in the figure's unit
	Unit   string  `json:"unit,omitempty"`   // of Beyond
}

// Holds says whether gannet keeps to the bar. It does not where there is nothing
// to compare.
func (b Bar) Holds(gannet, bare Spread) bool {
	switch {
	case gannet.Runs == 0 || bare.Runs == 0:
		return false
	case b.Least > 0:
		return gannet.Median >= b.Least*bare.Median
	}
	return gannet.Median <= b.Most*bare.Median || b.Beyond > 0 && gannet.Median-bare.Median <= b.Beyond
}

// String gives the bar for a table.
func (b Bar) String() string {
	switch {
	case b.Least > 0:
		return fmt.Sprintf("≥ %g", b.Least)
	case b.Beyond > 0:
		return fmt.Sprintf("≤ %g, or + %g %s", b.Most, b.Beyond, b.Unit)
	}
	return fmt.Sprintf("≤ %g", b.Most)
}

// Add adds a figure; bar is nil where there is none.
func (c *Comparison) Add(load, figure string, gannet, bare, echo Spread, bar *Bar) {
	c.Rows = append(c.Rows, Row{
		Load: load, Figure: figure, Gannet: gannet, Bare: bare, Echo: echo,
		Bar: bar, Holds: bar != nil && bar.Holds(gannet, bare),
	})
}

// Finish adds the faults, writes the comparison and gives the error that it ends
// with: faults are one, figures are none.
func (c *Comparison) Finish(out io.Writer, asJSON bool, f *Faults) error {
	c.FaultCount, c.Faults = f.List()
	var err error
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(c)
	} else {
		_, err = io.WriteString(out, c.Markdown())
	}
	if err == nil && c.FaultCount > 0 {
		err = fmt.Errorf("benchmark: the comparison ended with %d faults", c.FaultCount)
	}
	return err
}

// Markdown gives the comparison as text with two tables: the figures that have a
// bar, then the others.
func (c *Comparison) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, gannet %s\n\n%s.\n", c.Command, c.Conditions.Date.Format("2006-01-02 15:04 MST"), c.Conditions.Version, c.Conditions.Machine())
	for i, s := range c.Settings {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.Name + " " + s.Value)
	}
	b.WriteString(". Medians, and least to most.\n\n")
	beside := "bare server"
	if c.Beside != "" {
		beside = c.Beside
	}
	echo, echoHead, echoLine := slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Echo.Runs > 0 }), "", ""
	if echo {
		echoHead, echoLine = " bare echo |", "---|"
	}
	echoOf := func(r Row) string {
		if !echo {
			return ""
		}
		return fmt.Sprintf(" %s |", r.Echo)
	}
	fmt.Fprintf(&b, "| load | figure | gannet | %s | gannet / bare | bar | holds |%s\n|---|---|---|---|---|---|---|%s\n", beside, echoHead, echoLine)
	bars, missed := 0, 0
	for _, r := range c.Rows {
		if r.Bar == nil {
			continue
		}
		bars++
		holds := "yes"
		if !r.Holds {
			holds = "**no**"
			missed++
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |%s\n", r.Load, r.Figure, r.Gannet, r.Bare, r.ratio(), r.Bar, holds, echoOf(r))
	}
	fmt.Fprintf(&b, "\n| load | figure | gannet | %s | gannet / bare |%s\n|---|---|---|---|---|%s\n", beside, echoHead, echoLine)
	for _, r := range c.Rows {
		if r.Bar == nil {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |%s\n", r.Load, r.Figure, r.Gannet, r.Bare, r.ratio(), echoOf(r))
		}
	}
	b.WriteString("\n")
	switch {
	case bars == 0:
		b.WriteString("Nothing was compared.\n")
	case missed == 0:
		b.WriteString("Every bar holds.\n")
	default:
		fmt.Fprintf(&b, "Bars that do not hold: %d.\n", missed)
	}
	for _, note := range c.Notes {
		b.WriteString("\n" + note + "\n")
	}
	if c.FaultCount > 0 {
		fmt.Fprintf(&b, "\n%d faults; the first ones:\n\n", c.FaultCount)
		for _, f := range c.Faults {
			b.WriteString("- " + f + "\n")
		}
	}
	return b.String()
}

// ratio gives gannet's share of the bare server's figure, and the difference where
// the bar is one too.
func (r *Row) ratio() string {
	if r.Gannet.Runs == 0 || r.Bare.Runs == 0 || r.Bare.Median == 0 {
		return ""
	}
	s := fmt.Sprintf("%.2f", r.Gannet.Median/r.Bare.Median)
	if r.Bar != nil && r.Bar.Beyond > 0 {
		d := r.Gannet.Median - r.Bare.Median
		sign := "+"
		if d < 0 {
			sign = "−"
		}
		s += fmt.Sprintf(", %s %.2f %s", sign, math.Abs(d), r.Bar.Unit)
	}
	return s
}
