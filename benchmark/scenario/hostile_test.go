package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"gannet/benchmark/meter"
	"gannet/benchmark/report"
)

// attacked plays a short attack on a villain and gives the row.
func attacked(t *testing.T, does string) (report.AttackRow, error) {
	t.Helper()
	h := Hostile{
		Attack: []string{"pings"}, Duration: 600 * time.Millisecond, Settle: 10 * time.Millisecond, Short: true, Seed: 1,
		ServerFlags: villainArgument + " " + does, JSON: true, Program: program(),
	}
	var out, progress bytes.Buffer
	err := h.Run(t.Context(), &out, &progress)
	var found report.Attacks
	if bad := json.Unmarshal(out.Bytes(), &found); bad != nil || len(found.Rows) != 1 {
		t.Fatalf("%v: %v, %v; progress:\n%s", found, bad, err, progress.String())
	}
	return found.Rows[0], err
}

func TestAVillainIsFound(t *testing.T) {
	for does, want := range map[string]string{
		"leak": "live heap", "log": `say "connection N is odd"`, "fail": "did not end well", "slow": "slowest login", "lie": "given out twice",
	} {
		t.Run(does, func(t *testing.T) {
			row, err := attacked(t, does)
			if all := strings.Join(row.Missed, "\n"); !strings.Contains(all, want) || err == nil || !strings.Contains(err.Error(), "missed") {
				t.Errorf("%q is not found: %v\n%s", want, err, all)
			}
		})
	}
}

// What depends on how busy the machine is may be missed by a server without fault too.
func TestWhoIsNoVillainIsLetBe(t *testing.T) {
	row, _ := attacked(t, "nothing")
	for _, missed := range row.Missed {
		if !strings.Contains(missed, "p99") && !strings.Contains(missed, "slowest login") {
			t.Errorf("missed: %s", missed)
		}
	}
	if row.Gannet.Messages == 0 || row.Echo.Messages == 0 || row.Gannet.P99 <= 0 || row.Echo.P99 <= 0 {
		t.Errorf("nothing was measured: %+v and %+v", row.Gannet, row.Echo)
	}
	if row.Gannet.Logins == 0 || row.Echo.Logins == 0 || row.Gannet.Login <= 0 || row.Echo.Login <= 0 {
		t.Errorf("nobody tried to log in: %+v and %+v", row.Gannet, row.Echo)
	}
	if row.Counters["gateway.accepted"] != 7 {
		t.Errorf("the counters are %v", row.Counters)
	}
	if row.Got["sockets"] < 2 || row.HeapBefore == 0 || row.RSSPeak == 0 || row.LogSeconds <= 0 {
		t.Errorf("%+v", row)
	}
}

func TestBarsOfAnAttack(t *testing.T) {
	good := report.AttackRow{
		Gannet: report.Felt{P99: 90, Messages: 800, Logins: 40, Login: 900}, Echo: report.Felt{P99: 1, Login: 1},
		HeapBefore: 20e6, HeapAfter: 22e6, LogSeconds: 8, LogLines: 30, LoudestSaid: 10, Stop: 9,
	}
	if got := missed(&good); len(got) > 0 {
		t.Errorf("a good one missed %q", got)
	}
	slowMachine := good
	slowMachine.Gannet.P99, slowMachine.Echo.P99, slowMachine.Gannet.Login, slowMachine.Echo.Login = 290, 100, 2900, 1000
	if got := missed(&slowMachine); len(got) > 0 {
		t.Errorf("on a slow machine it missed %q", got)
	}
	for want, spoil := range map[string]func(r *report.AttackRow){
		"p99 is 101 ms, at most 100":  func(r *report.AttackRow) { r.Gannet.P99 = 101 },
		"p99 is 400 ms, at most 300":  func(r *report.AttackRow) { r.Gannet.P99, r.Echo.P99 = 400, 100 },
		"login took 1001 ms":          func(r *report.AttackRow) { r.Gannet.Login = 1001 },
		"login took 4000 ms":          func(r *report.AttackRow) { r.Gannet.Login, r.Echo.Login = 4000, 1000 },
		"1 of 40 logins failed":       func(r *report.AttackRow) { r.Gannet.NoLogin = 1 },
		"nothing was delivered":       func(r *report.AttackRow) { r.Gannet.Messages = 0 },
		"3 messages were not":         func(r *report.AttackRow) { r.Gannet.Undelivered = 3 },
		"was given out twice":         func(r *report.AttackRow) { r.Gannet.Faults = []string{"seq 1 was given out twice"} },
		"live heap was 20.0 MB":       func(r *report.AttackRow) { r.HeapAfter = 24e6 },
		"is 0.0 MB":                   func(r *report.AttackRow) { r.HeapAfter = 0 }, // it could not be asked
		"11 log lines in 8 s":         func(r *report.AttackRow) { r.LoudestSaid = 11 },
		"it took 10.5 s to stop":      func(r *report.AttackRow) { r.Stop = 10.5 },
		"it did not end well: exit 1": func(r *report.AttackRow) { r.Exit = "exit 1" },
	} {
		bad := good
		spoil(&bad)
		if got := missed(&bad); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%q, want one with %q", got, want)
		}
	}
}

func TestLogLinesAreCountedByReason(t *testing.T) {
	var l logLines
	for _, part := range []string{
		"time=1 level=WARN msg=\"peer 7 is \\\"odd\\\"\" a=1\nti", "me=2 level=WARN msg=\"peer 12 is \\\"odd\\\"\"\n",
		"time=3 level=INFO msg=plain b=2\npanic: at 0x12\nunfinished",
	} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	lines, loudest, said := l.read()
	if lines != 4 || loudest != `peer N is "odd"` || said != 2 {
		t.Errorf("%d lines, %d of them %q", lines, said, loudest)
	}
	l.reset()
	if lines, _, said := l.read(); lines != 0 || said != 0 {
		t.Errorf("%d lines after a reset", lines)
	}
}

func TestAttacksAreListed(t *testing.T) {
	var out bytes.Buffer
	if err := (&Hostile{List: true}).Run(t.Context(), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n < 20 || !strings.Contains(out.String(), "deaf-readers ") {
		t.Errorf("%d attacks:\n%s", n, out.String())
	}
	if err := (&Hostile{Attack: []string{"kindness"}}).Run(t.Context(), &out, io.Discard); err == nil || !strings.Contains(err.Error(), "--list") {
		t.Errorf("an attack that there is not: %v", err)
	}
}

func TestAttacksEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := Hostile{Attack: []string{"pings", "silent"}, Duration: 300 * time.Millisecond, Seed: 1, Tries: 1, NoBars: true,
		ServerFlags: villainArgument + " nothing", Program: program()}
	progress := writer(func(b []byte) {
		if bytes.HasPrefix(b, []byte("2 of 2")) {
			cancel()
		}
	})
	var out bytes.Buffer
	if err := h.Run(ctx, &out, progress); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s := out.String()
	if !strings.Contains(s, "\n| pings |") || strings.Contains(s, "\n| silent |") || !strings.Contains(s, "Interrupted") {
		t.Errorf("interrupted in the second attack it says\n%s", s)
	}
}

func TestStormHasBars(t *testing.T) {
	s := Storm{Within: 10 * time.Second, Memory: 600}
	w := weather{back: 9 * time.Second}
	if got := s.missed(w, meter.Usage{Peak: 500e6}); len(got) > 0 {
		t.Errorf("a good storm missed %q", got)
	}
	w.back = 11 * time.Second
	got := s.missed(w, meter.Usage{Peak: 700e6})
	if len(got) != 2 || !slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, "11.0 s") }) {
		t.Errorf("a bad storm missed %q", got)
	}
}
