package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ClusterFaults is how a cluster bore what was done to it.
type ClusterFaults struct {
	Command    string       `json:"command"`
	Conditions Conditions   `json:"conditions"`
	Settings   []Setting    `json:"settings"`
	Rows       []ClusterRow `json:"rows"`
	Notes      []string     `json:"notes,omitempty"`
}

// ClusterRow is one fault, played once.
type ClusterRow struct {
	Fault string `json:"fault"`
	Round int    `json:"round"`

	Times []ClusterTime `json:"times"`

	Acked   uint64  `json:"acked"`   // messages of the round
	Longest float64 `json:"longest"` // seconds that one of them waited for its ack
	Lost    uint64  `json:"lost"`    // acked messages
	Repeats uint64  `json:"repeats"` // messages that came to the application again

	FaultCount int      `json:"fault_count"` // broken promises, the lost and repeated among them
	Faults     []string `json:"faults,omitempty"`
	Late       []string `json:"late,omitempty"`   // bars that were missed
	Missed     []string `json:"missed,omitempty"` // whatever kept the round from its end
}

// ClusterTime is how long it took until every user was served.
type ClusterTime struct {
	After   string  `json:"after"` // what
	Seconds float64 `json:"seconds"`
	Bar     float64 `json:"bar,omitempty"` // at most; 0: none
}

func (t ClusterTime) String() string {
	if t.Bar == 0 {
		return fmt.Sprintf("%.2f s after %s", t.Seconds, t.After)
	}
	return fmt.Sprintf("%.2f s after %s (%g)", t.Seconds, t.After, t.Bar)
}

// Took adds a time, and that it is over its bar.
func (r *ClusterRow) Took(t ClusterTime) {
	r.Times = append(r.Times, t)
	if t.Bar > 0 && t.Seconds > t.Bar {
		r.Late = append(r.Late, fmt.Sprintf("not every user was served %g s after %s, but %.2f s", t.Bar, t.After, t.Seconds))
	}
}

// Broken says whether a promise was broken, or the round did not come to its end.
func (r *ClusterRow) Broken() bool { return len(r.Missed) > 0 || r.FaultCount > 0 }

// Failed says whether that was so, or a bar missed.
func (r *ClusterRow) Failed() bool { return len(r.Late) > 0 || r.Broken() }

// Failed gives how many rounds failed.
func (c *ClusterFaults) Failed() int { return c.count((*ClusterRow).Failed) }

// Broken gives in how many rounds more than a bar was missed.
func (c *ClusterFaults) Broken() int { return c.count((*ClusterRow).Broken) }

func (c *ClusterFaults) count(is func(*ClusterRow) bool) (n int) {
	for i := range c.Rows {
		if is(&c.Rows[i]) {
			n++
		}
	}
	return n
}

// Write writes the table, or JSON.
func (c *ClusterFaults) Write(out io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(c)
	}
	_, err := io.WriteString(out, c.Markdown())
	return err
}

// Markdown gives a line for each round, then what was missed.
func (c *ClusterFaults) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, gannet %s\n\n%s.\n", c.Command, c.Conditions.Date.Format("2006-01-02 15:04 MST"), c.Conditions.Version, c.Conditions.Machine())
	for i, s := range c.Settings {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.Name + " " + s.Value)
	}
	b.WriteString(".\n\nIn brackets: what is allowed. A user is served when a message of theirs, sent after the moment, is acked and delivered.\n\n")
	b.WriteString("| fault | all users served | acked | longest wait for an ack, s | lost | repeated | verdict |\n|---|---|---|---|---|---|---|\n")
	for _, r := range c.Rows {
		verdict := "holds"
		if r.Failed() {
			verdict = "**fails**"
		}
		times := make([]string, len(r.Times))
		for i, t := range r.Times {
			times[i] = t.String()
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %.2f | %d | %d | %s |\n",
			r.Fault, strings.Join(times, ", "), r.Acked, r.Longest, r.Lost, r.Repeats, verdict)
	}
	b.WriteString("\n")
	switch n := c.Failed(); {
	case len(c.Rows) == 0:
		b.WriteString("Nothing was played.\n")
	case n == 0:
		b.WriteString("Every check and every bar holds.\n")
	default:
		fmt.Fprintf(&b, "Rounds that fail: %d of %d.\n\n", n, len(c.Rows))
		for _, r := range c.Rows {
			for _, missed := range slices.Concat(r.Late, r.Missed) {
				fmt.Fprintf(&b, "- %s, round %d: %s\n", r.Fault, r.Round, missed)
			}
			for _, fault := range r.Faults {
				fmt.Fprintf(&b, "- %s, round %d: %s\n", r.Fault, r.Round, fault)
			}
			if more := r.FaultCount - len(r.Faults); more > 0 {
				fmt.Fprintf(&b, "- %s, round %d: and %d more\n", r.Fault, r.Round, more)
			}
		}
	}
	for _, note := range c.Notes {
		b.WriteString("\n" + note + "\n")
	}
	return b.String()
}
