package command

import (
	"math"
	"testing"

	"gannet/gateway"
	"gannet/internal/limiter"
	"gannet/logic"
)

// parseServe gives the settings that flags make.
func parseServe(t *testing.T, flags ...string) *serveCmd {
	t.Helper()
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"serve"}, flags...)); err != nil {
		t.Fatal(err)
	}
	return &c.Serve
}

// Each flag has the default of its own kind.
func TestDefaultLimits(t *testing.T) {
	f := &parseServe(t).limitFlags
	got := limiter.Rates{f.LimitConnects, f.LimitFailedLogins, f.LimitSends, f.LimitSendBytes, f.LimitConversations, f.LimitSyncs, f.LimitHistories}
	if want := limiter.DefaultRates(); got != want {
		t.Errorf("the flags say %v, the limiter %v", got, want)
	}
	if f.limiter() == nil {
		t.Error("there is no limiter")
	}
	if n := f.conversationDevices(); n != 64 {
		t.Errorf("a conversation knows %d devices of a user", n)
	}
}

// What is off are the limits whose flags begin with --limit-, whatever these say, and
// nothing else.
func TestLimitsOff(t *testing.T) {
	c := parseServe(t, "--limits", "off", "--limit-sends", "1/1", "--limit-devices", "1", "--limit-conversation-devices", "1", "--max-connections-per-address", "7")
	var g gateway.Config
	var l logic.Config
	if err := c.apply(&g); err != nil {
		t.Fatal(err)
	}
	c.applyTo(&g, &l)
	if c.limiter() != nil || !g.Frames.Off() || l.MaxSessions != -1 || c.conversationDevices() < math.MaxInt32 {
		t.Errorf("there are limits of %+v, %d, %d", g.Frames, l.MaxSessions, c.conversationDevices())
	}
	if g.MaxPerAddress != 7 {
		t.Errorf("an address may have %d connections", g.MaxPerAddress)
	}
	if n := parseServe(t, "--limit-conversation-devices", "0").conversationDevices(); n < math.MaxInt32 {
		t.Errorf("0 limits devices to %d", n)
	}
}

// Every rate that the flags have is raised for benchmarks, and none is off.
func TestRaisedLimits(t *testing.T) {
	f := &parseServe(t, RaisedLimits()...).limitFlags
	for _, r := range []limiter.Rate{f.LimitConnects, f.LimitFailedLogins, f.LimitSends, f.LimitSendBytes, f.LimitConversations, f.LimitSyncs, f.LimitHistories, f.LimitFrames} {
		if r.Off() || r.PerSecond < 1e9 || r.Burst < 1e9 {
			t.Errorf("a limit is %v", r)
		}
	}
	if f.Limits != "on" || f.LimitDevices < 1e6 || f.conversationDevices() < 1e6 || f.limiter() == nil {
		t.Errorf("the limits are %+v", *f)
	}
}
