package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gannet/benchmark/cluster"
	"gannet/benchmark/report"
)

// ClusterFaults does to a cluster what may happen to one, under load, and checks every
// message: nothing acked is lost, no seq is given twice or skipped, nothing comes to the
// application again, READ stands; and the service is back in time. Its fields are flags.
type ClusterFaults struct {
	Only     []string      `help:"Play these faults only; --list names them." placeholder:"NAME,..."`
	List     bool          `help:"Name the faults and what each does, and end."`
	Rounds   int           `help:"How often each is played." default:"1"`
	Short    bool          `help:"What is stopped or away is so for 12 to 15 s, in place of 30 to 60; fewer logins race sends."`
	NoBars   bool          `help:"A bar that is missed is no error."`
	Users    int           `help:"How many users; every two are a pair. Of every second pair both write, of the others one listens." default:"20"`
	Pace     time.Duration `help:"How long a user rests, on average, between an ack and the next message." default:"100ms"`
	Size     int           `help:"Bytes of a message's body." default:"128"`
	Each     int           `help:"Gateways, logic nodes and transfer nodes, of each so many." default:"2"`
	Queues   int           `help:"Queues of each class." default:"4"`
	Scripts  string        `help:"Folder that has the script services, which starts the servers." default:"scripts"`
	Services string        `help:"Folder of servers that scripts/services has started, to play with in place of own ones." placeholder:"DIR"`
	Keep     bool          `help:"Keep the folder with the logs of all roles."`
	Seed     uint64        `help:"Seed of what is random in the load." default:"1"`
	JSON     bool          `name:"json" help:"Write the report as JSON."`

	Program `kong:"-"`
}

// Run plays all rounds, shows each of them on progress, and writes the report to out.
// When ctx is done it stops after the round. The error says that a check failed or, unless
// it has NoBars, a bar was missed.
func (c *ClusterFaults) Run(ctx context.Context, out, progress io.Writer) (err error) {
	faults, err := c.chosen()
	if err != nil {
		return err
	}
	if c.List {
		for _, f := range faults {
			fmt.Fprintf(out, "%-22s %s\n", f.name, f.does)
		}
		return nil
	}
	if c.Rounds < 1 || c.Each < 2 {
		return fmt.Errorf("benchmark: %d rounds with %d nodes of each role: at least 1 with 2", c.Rounds, c.Each)
	}
	dir, err := os.MkdirTemp("", "gannet-faults-")
	if err != nil {
		return fmt.Errorf("benchmark: %w", err)
	}
	p := &stage{ClusterFaults: c, dir: dir, line: report.NewProgress(progress)}
	defer func() {
		p.line.End()
		err = errors.Join(err, p.close())
		if !c.Keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if c.Keep {
		p.line.Showf("logs in %s", dir)
	}
	p.line.Showf("starting the servers")
	if p.services, err = cluster.OpenServices(ctx, filepath.Join(c.Scripts, "services"), c.Services, dir); err != nil {
		return err
	}
	r := &report.ClusterFaults{Command: report.Command(), Conditions: report.Here(), Settings: []report.Setting{
		report.Set("rounds", c.Rounds), report.Set("users", c.Users), report.Set("pace", c.Pace), report.Set("size", c.Size),
		report.Set("nodes of each role", c.Each), report.Set("queues", c.Queues), report.Set("short", c.Short),
	}}
	// One round of everything comes before the second of anything.
	for round := 1; round <= c.Rounds; round++ {
		for _, f := range faults {
			if ctx.Err() != nil {
				break
			}
			row := p.play(context.WithoutCancel(ctx), f)
			row.Round = round
			r.Rows = append(r.Rows, row)
			p.tell(&row)
		}
	}
	if ctx.Err() != nil {
		r.Notes = append(r.Notes, "Interrupted: not every round was played.")
	}
	p.line.End()
	if err := r.Write(out, c.JSON); err != nil {
		return err
	}
	n := r.Failed()
	if c.NoBars {
		n = r.Broken()
	}
	if n > 0 {
		return fmt.Errorf("benchmark: %d of %d rounds fail", n, len(r.Rows))
	}
	return nil
}

// tell shows how a round went.
func (p *stage) tell(row *report.ClusterRow) {
	p.line.End()
	verdict := "holds"
	if row.Failed() {
		verdict = "FAILS"
	}
	p.line.Showf("%s %s, round %d: %v; %d acked, longest wait %.2f s, %d lost, %d repeated, %d faults",
		verdict, row.Fault, row.Round, row.Times, row.Acked, row.Longest, row.Lost, row.Repeats, row.FaultCount)
	for _, why := range slices.Concat(row.Late, row.Missed, row.Faults) {
		p.line.End()
		p.line.Showf("  %s", why)
	}
}

// chosen gives the faults to play.
func (c *ClusterFaults) chosen() ([]fault, error) {
	all := clusterFaults()
	if len(c.Only) == 0 {
		return all, nil
	}
	var chosen []fault
	for _, name := range c.Only {
		i := slices.IndexFunc(all, func(f fault) bool { return f.name == name })
		if i < 0 {
			names := make([]string, len(all))
			for i, f := range all {
				names[i] = f.name
			}
			return nil, fmt.Errorf("benchmark: there is no fault %q, only %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
