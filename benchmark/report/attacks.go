package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Attacks is what a server and its users felt of attacks, beside an echo server that
// got the same bytes.
type Attacks struct {
	Command    string      `json:"command"`
	Conditions Conditions  `json:"conditions"`
	Settings   []Setting   `json:"settings"`
	Rows       []AttackRow `json:"rows"`
	Notes      []string    `json:"notes,omitempty"`
}

// AttackRow is one attack.
type AttackRow struct {
	Attack string            `json:"attack"`
	Does   string            `json:"does"`
	Got    map[string]uint64 `json:"got"` // by the attackers: frames, codes, ends
	Gannet Felt              `json:"gannet"`
	Echo   Felt              `json:"echo"`

	Begin float64 `json:"begin_s"` // until the attackers were where they do harm

	// Memory of the server in bytes: resident, and the live heap; at the peak the heap
	// has its garbage too.
	RSSBefore  uint64  `json:"rss_before"`
	RSSPeak    uint64  `json:"rss_peak"`
	RSSAfter   uint64  `json:"rss_after"`
	HeapBefore uint64  `json:"heap_before"`
	HeapPeak   uint64  `json:"heap_peak"`
	HeapAfter  uint64  `json:"heap_after"`
	Settled    float64 `json:"settled_s"` // from the end of the attack to After

	Counters map[string]uint64 `json:"counters,omitempty"` // of the server that rose, by part and name

	LogLines    int     `json:"log_lines"` // of the server meanwhile
	LogSeconds  float64 `json:"log_seconds"`
	Loudest     string  `json:"loudest,omitempty"` // the reason with most of them
	LoudestSaid int     `json:"loudest_lines"`

	Stop   float64  `json:"stop_s"`           // from SIGTERM, while the attack went on, to the end
	Exit   string   `json:"exit,omitempty"`   // how it ended, unless well
	Missed []string `json:"missed,omitempty"` // bars
}

// Felt is what well-behaved users felt.
type Felt struct {
	P50         float64 `json:"p50_ms"` // of neighbours, from when a message was due to its arrival
	P99         float64 `json:"p99_ms"`
	Messages    uint64  `json:"messages"`
	Undelivered uint64  `json:"undelivered"`
	Refused     uint64  `json:"refused"` // for the moment, and sent again
	Quiet       float64 `json:"quiet_s"` // from the end of the attack until all was delivered
	Logins      int     `json:"logins"`
	NoLogin     int     `json:"failed_logins"`
	Login       float64 `json:"slowest_login_ms"`

	Faults []string `json:"faults,omitempty"` // the first broken promises and failed logins
}

// Missed gives how many bars were missed in all.
func (a *Attacks) Missed() (n int) {
	for _, r := range a.Rows {
		n += len(r.Missed)
	}
	return n
}

// Write writes the table, or JSON.
func (a *Attacks) Write(out io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(a)
	}
	_, err := io.WriteString(out, a.Markdown())
	return err
}

// Markdown gives a line for each attack, then what was missed.
func (a *Attacks) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`, %s, gannet %s\n\n%s.\n", a.Command, a.Conditions.Date.Format("2006-01-02 15:04 MST"), a.Conditions.Version, a.Conditions.Machine())
	for i, s := range a.Settings {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.Name + " " + s.Value)
	}
	b.WriteString(".\n\nIn brackets: the same beside the echo server. Memory: before / peak / after.\n\n")
	b.WriteString("| attack | what it got | neighbours p50, p99, ms | undelivered, refused | slowest login, ms | RSS, MB | heap, MB | log lines/s | stop, s | verdict |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range a.Rows {
		verdict := "holds"
		if len(r.Missed) > 0 {
			verdict = fmt.Sprintf("**%d missed**", len(r.Missed))
		}
		stop := fmt.Sprintf("%.1f", r.Stop)
		if r.Exit != "" {
			stop += " (failed)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s, %s (%s, %s) | %d, %d | %s (%s) | %s | %s | %.1f | %s | %s |\n",
			r.Attack, gotList(r.Got), ms(r.Gannet.P50), ms(r.Gannet.P99), ms(r.Echo.P50), ms(r.Echo.P99), r.Gannet.Undelivered, r.Gannet.Refused,
			r.Gannet.login(), r.Echo.login(), megabytes(r.RSSBefore, r.RSSPeak, r.RSSAfter), megabytes(r.HeapBefore, r.HeapPeak, r.HeapAfter),
			float64(r.LogLines)/max(r.LogSeconds, 1), stop, verdict)
	}
	b.WriteString("\n")
	switch n := a.Missed(); {
	case len(a.Rows) == 0:
		b.WriteString("Nothing was played.\n")
	case n == 0:
		b.WriteString("Every bar holds.\n")
	default:
		fmt.Fprintf(&b, "Bars that are missed: %d.\n\n", n)
		for _, r := range a.Rows {
			for _, missed := range r.Missed {
				fmt.Fprintf(&b, "- %s: %s\n", r.Attack, missed)
			}
		}
	}
	for _, note := range a.Notes {
		b.WriteString("\n" + note + "\n")
	}
	return b.String()
}

func (f *Felt) login() string {
	if f.NoLogin > 0 {
		return fmt.Sprintf("%s, %d of %d failed", ms(f.Login), f.NoLogin, f.Logins)
	}
	return ms(f.Login)
}

// ms writes milliseconds for a table.
func ms(v float64) string { return Number(v) }

func megabytes(bytes ...uint64) string {
	parts := make([]string, len(bytes))
	for i, n := range bytes {
		parts[i] = Number(float64(n/100_000) / 10)
	}
	return strings.Join(parts, " / ")
}

// shownGot is how many of the things that attackers got a table names.
const shownGot = 5

// gotList names what was got most often.
func gotList(got map[string]uint64) string {
	names := make([]string, 0, len(got))
	for name := range got {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(got[b], got[a]), cmp.Compare(a, b)) })
	var parts []string
	for _, name := range names {
		if len(parts) == shownGot {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%s %s", Number(float64(got[name])), name))
	}
	return strings.Join(parts, ", ")
}
