// Package report has what a scenario tells: its report as text, JSON or Markdown, the
// faults that it saw, and how it gets on.
package report

import (
	"encoding/json"
	"fmt"
	"io"

	"gannet/benchmark/meter"
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
	meter.Latency
}

// New gives a report to which figures are still to be added.
func New(scenario string, settings ...Setting) *Report {
	return &Report{Scenario: scenario, Conditions: Here(), Settings: settings}
}

// Set gives a setting.
func Set(name string, value any) Setting { return Setting{Name: name, Value: fmt.Sprint(value)} }

// Add adds a figure that has no limit.
func (r *Report) Add(name string, value float64, unit string) {
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

// Finish adds the faults, writes the report and gives the error that the
// scenario ends with.
func (r *Report) Finish(out io.Writer, asJSON bool, f *Faults) error {
	r.FaultCount, r.Faults = f.List()
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
