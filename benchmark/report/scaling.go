package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ScalingBar is by how much more than at the first point a cost may be at any other.
const ScalingBar = 1.25

// Scaling is what a message costs at several points: clusters of different sizes.
type Scaling struct {
	Command    string     `json:"command"`
	Conditions Conditions `json:"conditions"`
	Settings   []Setting  `json:"settings"`
	Figures    []string   `json:"figures"`
	Costs      []string   `json:"costs"`   // of the figures, those that have a bar
	Batches    []string   `json:"batches"` // the figures that have to be alike for costs to be comparable
	Points     []Point    `json:"points"`
	Notes      []string   `json:"notes,omitempty"`

	// As in Report.
	FaultCount int      `json:"fault_count"`
	Faults     []string `json:"faults,omitempty"`
}

// Point is one size of a cluster.
type Point struct {
	Nodes         int               `json:"nodes"` // of each role
	Conversations int               `json:"conversations"`
	Figures       map[string]Spread `json:"figures"`
}

func (p *Point) String() string {
	return fmt.Sprintf("%d of each, %s", p.Nodes, Number(float64(p.Conversations)))
}

// Finish adds the faults, writes the tables and gives the error that it ends with: faults
// are one, figures are none.
func (s *Scaling) Finish(out io.Writer, asJSON bool, f *Faults) error {
	s.FaultCount, s.Faults = f.List()
	var err error
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(s)
	} else {
		_, err = io.WriteString(out, s.Markdown())
	}
	if err == nil && s.FaultCount > 0 {
		err = fmt.Errorf("benchmark: the measurement ended with %d faults", s.FaultCount)
	}
	return err
}

// extremes gives the points at which the median of a figure is least and most.
func (s *Scaling) extremes(figure string) (least, most *Point) {
	of := func(p *Point) float64 { return p.Figures[figure].Median }
	for i := range s.Points {
		p := &s.Points[i]
		if least == nil || of(p) < of(least) {
			least = p
		}
		if most == nil || of(p) > of(most) {
			most = p
		}
	}
	return least, most
}

// Markdown gives the scaling as text with two tables: the figures of each point, and how
// far the costs are apart.
func (s *Scaling) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, gannet %s\n\n%s.\n", s.Command, s.Conditions.Date.Format("2006-01-02 15:04 MST"), s.Conditions.Version, s.Conditions.Machine())
	for i, set := range s.Settings {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(set.Name + " " + set.Value)
	}
	b.WriteString(". Medians. µs are CPU time a message.\n\n")
	if len(s.Points) == 0 {
		b.WriteString("Nothing was measured.\n")
	} else {
		s.tables(&b)
	}
	for _, note := range s.Notes {
		b.WriteString("\n" + note + "\n")
	}
	if s.FaultCount > 0 {
		fmt.Fprintf(&b, "\n%d faults; the first ones:\n\n", s.FaultCount)
		for _, f := range s.Faults {
			b.WriteString("- " + f + "\n")
		}
	}
	return b.String()
}

func (s *Scaling) tables(b *strings.Builder) {
	fmt.Fprintf(b, "| nodes of each role | conversations | %s |\n|---|---|%s\n", strings.Join(s.Figures, " | "), strings.Repeat("---|", len(s.Figures)))
	for _, p := range s.Points {
		fmt.Fprintf(b, "| %d | %s |", p.Nodes, Number(float64(p.Conversations)))
		for _, f := range s.Figures {
			fmt.Fprintf(b, " %s |", Number(p.Figures[f].Median))
		}
		b.WriteString("\n")
	}
	if len(s.Points) == 1 {
		return // there is nothing to compare
	}
	first := &s.Points[0]
	fmt.Fprintf(b, "\n| figure | %s | least | most | most / first | bar | holds |\n|---|---|---|---|---|---|---|\n", first)
	missed := 0
	for _, f := range s.Figures {
		least, most := s.extremes(f)
		bar, holds := "", ""
		if slices.Contains(s.Costs, f) {
			bar, holds = fmt.Sprintf("≤ %g", ScalingBar), "yes"
			if most.Figures[f].Median > ScalingBar*first.Figures[f].Median {
				holds = "**no**"
				missed++
			}
		}
		ratio := ""
		if at := first.Figures[f].Median; at > 0 {
			ratio = fmt.Sprintf("%.2f", most.Figures[f].Median/at)
		}
		fmt.Fprintf(b, "| %s | %s | %s: %s | %s: %s | %s | %s | %s |\n", f, first.Figures[f], least, least.Figures[f], most, most.Figures[f], ratio, bar, holds)
	}
	b.WriteString("\n")
	if missed == 0 {
		b.WriteString("Every bar holds.\n")
	} else {
		fmt.Fprintf(b, "Bars that do not hold: %d.\n", missed)
	}
	for _, batch := range s.Batches {
		if least, most := s.extremes(batch); most.Figures[batch].Median > ScalingBar*least.Figures[batch].Median {
			fmt.Fprintf(b, "\n**Batches are not equal, so neither are costs comparable**: %s is %s with %s and %s with %s.\n",
				batch, Number(least.Figures[batch].Median), least, Number(most.Figures[batch].Median), most)
		}
	}
}
