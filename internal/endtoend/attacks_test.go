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
		"bad-tokens": "CLOSE bad_token", "syncs-and-reset": "WELCOME", "history": "MESSAGES", "old-ids": "busy",
		"strangers": "DONE", "devices": "SENDACK", "garbage": "unknown_type", "tls-no-hello": "sockets",
	}
	for name, want := range gets {
		t.Run(name, func(t *testing.T) { attacked(t, name, want) })
	}
}

// attacked plays a short attack; want is what the attackers have to get.
func attacked(t *testing.T, name, want string) {
	out, stderr, err := run(t, "bench", "hostile", "--short", "--duration", "1s", "--settle", "1s", "--no-bars", "--json", "--attack", name)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr)
	}
	var found struct {
		Rows []struct {
			Got        map[string]uint64
			Gannet     struct{ Messages, Undelivered, Logins uint64 }
			HeapBefore uint64 `json:"heap_before"`
			HeapPeak   uint64 `json:"heap_peak"`
			HeapAfter  uint64 `json:"heap_after"`
			Exit       string
		}
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found.Rows) != 1 {
		t.Fatalf("%v\n%s", err, out)
	}
	r := found.Rows[0]
	if r.Got[want] == 0 {
		t.Errorf("no %s among %v", want, r.Got)
	}
	if r.Gannet.Messages == 0 || r.Gannet.Undelivered > 0 || r.Gannet.Logins == 0 {
		t.Errorf("of the neighbours' messages %d came and %d did not; %d logins", r.Gannet.Messages, r.Gannet.Undelivered, r.Gannet.Logins)
	}
	if r.HeapBefore == 0 || r.HeapPeak == 0 || r.HeapAfter == 0 {
		t.Errorf("heap %d, %d, %d", r.HeapBefore, r.HeapPeak, r.HeapAfter)
	}
	if r.Exit != "" {
		t.Errorf("the server ended badly: %s", r.Exit)
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
