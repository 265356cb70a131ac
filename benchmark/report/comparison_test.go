package report

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestASpreadIsMedianLeastAndMost(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   Spread
		text   string
	}{
		{nil, Spread{}, ""},
		{[]float64{3}, Spread{1, 3, 3, 3}, "3"},
		{[]float64{4, 1}, Spread{2, 2.5, 1, 4}, "2.50 (1–4)"},
		{[]float64{50_000, 10_000, 20_000, 40_000, 90_000}, Spread{5, 40_000, 10_000, 90_000}, "40,000 (10,000–90,000)"},
	} {
		before := append([]float64(nil), tc.values...)
		if got := SpreadOf(tc.values); got != tc.want || got.String() != tc.text {
			t.Errorf("%v give %+v, %q, want %+v, %q", tc.values, got, got, tc.want, tc.text)
		}
		if !reflect.DeepEqual(tc.values, before) {
			t.Errorf("the runs are in another order: %v", tc.values)
		}
	}
}

func TestBars(t *testing.T) {
	share := Bar{Least: 0.75}
	times := Bar{Most: 1.5}
	either := Bar{Most: 2, Beyond: 2, Unit: "ms"}
	one := func(v float64) Spread { return SpreadOf([]float64{v}) }
	for _, tc := range []struct {
		bar          Bar
		gannet, bare float64
		holds        bool
	}{
		{share, 75, 100, true}, {share, 74.9, 100, false}, {share, 200, 100, true},
		{times, 1.5, 1, true}, {times, 1.51, 1, false}, {times, 0.1, 1, true},
		{either, 2, 1, true}, {either, 3, 1, true}, {either, 3.1, 1, false}, // 2 ms more
		{either, 20, 10, true}, {either, 20.1, 10, false}, // twice
	} {
		if got := tc.bar.Holds(one(tc.gannet), one(tc.bare)); got != tc.holds {
			t.Errorf("%v: %v beside %v: %v", tc.bar, tc.gannet, tc.bare, got)
		}
	}
	if share.Holds(one(1), Spread{}) || times.Holds(Spread{}, one(1)) {
		t.Error("a bar holds without a measurement")
	}
}

func testComparison() *Comparison {
	c := &Comparison{Command: "gannet bench pairs --compare-bare", Conditions: Here(), Settings: []Setting{Set("users", 1000)}}
	c.Add("window 1", "acked, messages/s", SpreadOf([]float64{70_000, 60_000}), SpreadOf([]float64{100_000}), SpreadOf([]float64{120_000}), &Bar{Least: 0.75})
	c.Add("10,000/s", "send→deliver p99, ms", SpreadOf([]float64{2.5}), SpreadOf([]float64{1}), Spread{}, &Bar{Most: 2, Beyond: 2, Unit: "ms"})
	c.Add("10,000/s", "server CPU, µs a message", SpreadOf([]float64{30}), SpreadOf([]float64{25}), Spread{}, nil)
	return c
}

func TestAComparisonInMarkdown(t *testing.T) {
	c := testComparison()
	var out bytes.Buffer
	if err := c.Finish(&out, false, new(Faults)); err != nil {
		t.Errorf("a bar that does not hold is an error: %v", err)
	}
	for _, want := range []string{
		"`gannet bench pairs --compare-bare`, " + c.Conditions.Date.Format("2006-01-02"), "gannet " + c.Conditions.Version, "GOMAXPROCS", "users 1000",
		"| window 1 | acked, messages/s | 65,000 (60,000–70,000) | 100,000 | 0.65 | ≥ 0.75 | **no** | 120,000 |\n",
		"| 10,000/s | send→deliver p99, ms | 2.50 | 1 | 2.50, + 1.50 ms | ≤ 2, or + 2 ms | yes |  |\n",
		"| 10,000/s | server CPU, µs a message | 30 | 25 | 1.20 |  |\n",
		"Bars that do not hold: 1.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	c.Rows = c.Rows[1:]
	if s := c.Markdown(); !strings.Contains(s, "Every bar holds.") {
		t.Errorf("all is well, but it says\n%s", s)
	}
	c.Rows = nil
	if s := c.Markdown(); !strings.Contains(s, "Nothing was compared.") {
		t.Errorf("there is nothing, but it says\n%s", s)
	}
}

func TestAComparisonWithAFaultFails(t *testing.T) {
	var f Faults
	f.Addf("message 1 was lost")
	var out bytes.Buffer
	if err := testComparison().Finish(&out, false, &f); err == nil || !strings.Contains(err.Error(), "1 faults") {
		t.Errorf("a lost message ends with %v", err)
	}
	if !strings.Contains(out.String(), "- message 1 was lost\n") {
		t.Errorf("the fault is not in\n%s", out.String())
	}
}

func TestAComparisonSurvivesJSON(t *testing.T) {
	want, got := testComparison(), new(Comparison)
	var out bytes.Buffer
	if err := want.Finish(&out, true, new(Faults)); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("came back as\n%+v, %v, want\n%+v", got, err, want)
	}
}
