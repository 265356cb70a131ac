package benchmark

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is what a scenario found, in an order made for reading.
type Report struct {
	Scenario   string         `json:"scenario"`
	Conditions Conditions     `json:"conditions"`
	Settings   []Setting      `json:"settings"`
	Figures    []Figure       `json:"figures"`
	Latencies  []Distribution `json:"latencies,omitempty"`
	Notes      []string       `json:"notes,omitempty"`

	// FaultCount is how many promises were seen broken; Faults are the first of
	// them.
	FaultCount int      `json:"fault_count"`
	Faults     []string `json:"faults,omitempty"`
}

// Conditions are what a figure depends on beside the settings.
type Conditions struct {
	Date       time.Time `json:"date"`
	Version    string    `json:"version"`
	Go         string    `json:"go"`
	Platform   string    `json:"platform"`
	Kernel     string    `json:"kernel,omitempty"`
	CPU        string    `json:"cpu,omitempty"`
	Cores      int       `json:"cores"`
	GOMAXPROCS int       `json:"gomaxprocs"` // of the load generator
}

// Setting is how a scenario was asked to run.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Figure is a number that a scenario measured.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`

	// Limit is the same figure of the bare echo in the same run, 0 when there is
	// none.
	Limit float64 `json:"limit,omitempty"`
}

// Distribution is a latency that a scenario measured.
type Distribution struct {
	Name string `json:"name"`
	Latency
}

func newReport(scenario string, settings ...Setting) *Report {
	return &Report{Scenario: scenario, Conditions: conditions(), Settings: settings}
}

func setting(name string, value any) Setting { return Setting{Name: name, Value: fmt.Sprint(value)} }

func (r *Report) figure(name string, value float64, unit string) {
	r.Figures = append(r.Figures, Figure{Name: name, Value: value, Unit: unit})
}

// Figure gives the value of a figure, and whether there is one of that name.
func (r *Report) Figure(name string) (float64, bool) {
	for _, f := range r.Figures {
		if f.Name == name {
			return f.Value, true
		}
	}
	return 0, false
}

// finish adds the faults, writes the report and gives the error that the
// scenario ends with.
func (r *Report) finish(out io.Writer, asJSON bool, f *faults) error {
	r.FaultCount, r.Faults = f.list()
	if err := r.write(out, asJSON); err != nil {
		return err
	}
	if r.FaultCount > 0 {
		return fmt.Errorf("benchmark: %s found %d faults", r.Scenario, r.FaultCount)
	}
	return nil
}

func (r *Report) write(out io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := io.WriteString(out, r.String())
	return err
}

// String gives the report as text.
func (r *Report) String() string {
	var b strings.Builder
	c := r.Conditions
	fmt.Fprintf(&b, "%s, %s, gannet %s\n", r.Scenario, c.Date.Format(time.DateTime+" MST"), c.Version)
	fmt.Fprintf(&b, "%s, %s", c.Go, c.Platform)
	for _, s := range []string{c.Kernel, c.CPU} {
		if s != "" {
			b.WriteString(", " + s)
		}
	}
	fmt.Fprintf(&b, ", %d cores, GOMAXPROCS %d\n", c.Cores, c.GOMAXPROCS)
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
		fmt.Fprintf(&b, "%-*s %12s %s", width, f.Name, number(f.Value), f.Unit)
		if f.Limit > 0 {
			fmt.Fprintf(&b, ", echo %s: %.0f %%", number(f.Limit), 100*f.Value/f.Limit)
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

// number writes a figure with three digits or more, large ones in groups.
func number(v float64) string {
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

func conditions() Conditions {
	return Conditions{
		Date:       time.Now().UTC().Truncate(time.Second),
		Version:    version(),
		Go:         runtime.Version(),
		Platform:   runtime.GOOS + "/" + runtime.GOARCH,
		Kernel:     firstLine("/proc/sys/kernel/osrelease", ""),
		CPU:        firstLine("/proc/cpuinfo", "model name"),
		Cores:      runtime.NumCPU(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
	}
}

// version gives the commit that the executable was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " modified"
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision + modified
}

// firstLine gives the first line of a file that begins with key, without it and
// a colon; "" where there is none.
func firstLine(file, key string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimLeft(strings.TrimSpace(rest), ": \t")
		}
	}
	return ""
}

// rest waits for d; the error says that ctx was done before.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
