package limiter_test

import (
	"testing"

	"gannet/internal/limiter"
)

func TestRateText(t *testing.T) {
	for text, want := range map[string]limiter.Rate{
		"off":       {},
		"200/2048":  {PerSecond: 200, Burst: 2048},
		"1M/8M":     {PerSecond: 1e6, Burst: 8e6},
		"0.5/10":    {PerSecond: 0.5, Burst: 10},
		"1.5k/2k":   {PerSecond: 1500, Burst: 2000},
		"1G/1G":     {PerSecond: 1e9, Burst: 1e9},
		"1000/4096": {PerSecond: 1000, Burst: 4096},
	} {
		got := limiter.Rate{PerSecond: 7, Burst: 7}
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
		var again limiter.Rate
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != got {
			t.Errorf("%q, written as %q, is %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "200", "200/", "/5", "0/5", "5/0", "-1/5", "5/-1", "1/2.5", "2G/1", "NaN/5", "5/NaN", "Inf/5", "x/5", "1/k", "on", "1e-30/1000"} {
		got := limiter.Rate{PerSecond: 7, Burst: 7}
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %+v", text, got)
		} else if (got != limiter.Rate{PerSecond: 7, Burst: 7}) {
			t.Errorf("%q is refused, and left %+v", text, got)
		}
	}
}
