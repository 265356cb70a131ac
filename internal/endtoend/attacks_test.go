package endtoend

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// Attacks reach what they are aimed at. What neighbours feel of them on a machine that
// does other things too is for people, and for gannet bench hostile.
func TestAttacksOnTheServer(t *testing.T) {
	gets := map[string]string{ // something that shows it
		"bad-tokens": "CLOSE bad_token", "syncs-and-reset": "WELCOME", "history": "MESSAGES", "old-ids": "SENDACK",
		"strangers": "DONE", "devices": "SENDACK", "garbage": "unknown_type", "tls-no-hello": "sockets",
	}
	args := []string{"bench", "hostile", "--short", "--duration", "400ms", "--settle", "1s", "--no-bars", "--json"}
	for name := range gets {
		args = append(args, "--attack", name)
	}
	out, stderr, err := run(t, args...)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr)
	}
	var found struct {
		Rows []struct {
			Attack     string
			Got        map[string]uint64
			Gannet     struct{ Messages, Undelivered, Logins uint64 }
			HeapBefore uint64 `json:"heap_before"`
			HeapPeak   uint64 `json:"heap_peak"`
			HeapAfter  uint64 `json:"heap_after"`
			Exit       string
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, r := range found.Rows {
		if want := gets[r.Attack]; r.Got[want] == 0 {
			t.Errorf("%s: no %s among %v", r.Attack, want, r.Got)
		}
		if r.Gannet.Messages == 0 || r.Gannet.Undelivered > 0 || r.Gannet.Logins == 0 {
			t.Errorf("%s: of the neighbours' messages %d came and %d did not; %d logins", r.Attack, r.Gannet.Messages, r.Gannet.Undelivered, r.Gannet.Logins)
		}
		if r.HeapBefore == 0 || r.HeapPeak == 0 || r.HeapAfter == 0 {
			t.Errorf("%s: heap %d, %d, %d", r.Attack, r.HeapBefore, r.HeapPeak, r.HeapAfter)
		}
		if r.Exit != "" {
			t.Errorf("%s: the server ended badly: %s", r.Attack, r.Exit)
		}
	}
	if len(found.Rows) != len(gets) {
		t.Errorf("%d attacks of %d were played", len(found.Rows), len(gets))
	}
}

// Whoever interrupts it gets the table, and nothing is left behind.
func TestAnInterruptedAttack(t *testing.T) {
	temp := t.TempDir()
	c := prepare(t.Context(), t, "bench", "hostile", "--attack", "pings", "--duration", "10m")
	c.Env = append(c.Environ(), "TMPDIR="+temp)
	var out strings.Builder
	c.Stdout = &out
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stderr.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(out.String(), "Interrupted") {
		t.Errorf("it says\n%s", out.String())
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestStorm(t *testing.T) {
	r := report(t, "storm", "--users", "200", "--rate", "400", "--before", "1s", "--after", "1s", "--no-bars")
	if n := figure(t, r, "acked before the kill"); n < 10 {
		t.Errorf("only %v messages were acked before the kill", n)
	}
	if acked, delivered := figure(t, r, "acked"), figure(t, r, "delivered"); acked != delivered || acked <= figure(t, r, "acked before the kill") {
		t.Errorf("%v messages were acked and %v delivered", acked, delivered)
	}
	if figure(t, r, "all users are back") <= 0 || figure(t, r, "server memory, peak after it") <= 0 {
		t.Errorf("%+v", r)
	}
	if _, _, err := run(t, "bench", "storm", "--users", "20", "--before", "10ms", "--after", "10ms", "--within", "1ns"); err == nil {
		t.Error("a bar that nobody can keep to was kept")
	}
}
