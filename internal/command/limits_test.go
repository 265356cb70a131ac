package command

import (
	"testing"

	"gannet/internal/limiter"
)

// The defaults stand in the flags, where help shows them, and in the limiter, where
// the reasons are.
func TestDefaultLimits(t *testing.T) {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	f := &c.Serve.limitFlags
	got := limiter.Rates{f.LimitConnects, f.LimitFailedLogins, f.LimitSends, f.LimitSendBytes, f.LimitConversations, f.LimitSyncs, f.LimitHistories}
	if want := limiter.DefaultRates(); got != want {
		t.Errorf("the flags say %v, the limiter %v", got, want)
	}
	if f.limiter() == nil {
		t.Error("there is no limiter")
	}
	f.Limits = "off"
	if f.limiter() != nil {
		t.Error("there is a limiter though limits are off")
	}
}

// Every rate that the flags have is raised for benchmarks, and none is off.
func TestRaisedLimits(t *testing.T) {
	var c cli
	parser, err := newParser(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"serve"}, RaisedLimits()...)); err != nil {
		t.Fatal(err)
	}
	f := &c.Serve.limitFlags
	for _, r := range []limiter.Rate{f.LimitConnects, f.LimitFailedLogins, f.LimitSends, f.LimitSendBytes, f.LimitConversations, f.LimitSyncs, f.LimitHistories, f.LimitFrames} {
		if r.Off() || r.PerSecond < 1e9 || r.Burst < 1e9 {
			t.Errorf("a limit is %v", r)
		}
	}
	if f.Limits != "on" || f.LimitDevices < 1e6 || f.limiter() == nil {
		t.Errorf("the limits are %+v", *f)
	}
}
