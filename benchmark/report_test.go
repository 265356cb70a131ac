package benchmark

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func testReport() *Report {
	r := newReport("pairs", setting("users", 1000), setting("window", 32))
	r.figure("acked", 250_000, "messages/s")
	r.Figures = append(r.Figures, Figure{Name: "delivered", Value: 249_000.5, Unit: "messages/s", Limit: 500_000})
	r.Latencies = []Distribution{{"send to ack", Latency{Count: 5, P50: 1000, P90: 2000, P99: 3000, P999: 4000, Max: 5000}}}
	r.Notes = []string{"interrupted"}
	return r
}

func TestReportSurvivesJSON(t *testing.T) {
	want := testReport()
	var f faults
	f.addf("message 1 was lost")
	var out bytes.Buffer
	if err := want.finish(&out, true, &f); err == nil || !strings.Contains(err.Error(), "1 faults") {
		t.Errorf("a report with a fault ends with %v", err)
	}
	got := new(Report)
	if err := json.Unmarshal(out.Bytes(), got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("came back as\n%+v, want\n%+v", got, want)
	}
	if v, ok := got.Figure("delivered"); !ok || v != 249_000.5 {
		t.Errorf("the figure delivered came back as %v, %v", v, ok)
	}
	if v, ok := got.Figure("no such figure"); ok {
		t.Errorf("a figure that is not there is %v", v)
	}
}

func TestReportTextSaysEverything(t *testing.T) {
	r := testReport()
	var f faults
	f.addf("message 1 was lost")
	var out bytes.Buffer
	_ = r.finish(&out, false, &f)
	for _, want := range []string{
		"pairs", "users 1000, window 32", "GOMAXPROCS", "250,000", "echo 500,000", "50 %",
		"send to ack", "5.000", "interrupted", "1 faults", "message 1 was lost",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestReportWithoutFaultsEndsWell(t *testing.T) {
	if err := testReport().finish(io.Discard, false, new(faults)); err != nil {
		t.Error(err)
	}
}

func TestNumbersAreGrouped(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 7: "7", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 999_999.6: "1,000,000", 123_456_789: "123,456,789",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

func TestRecorderSummarisesItsSamplers(t *testing.T) {
	r := newRecorder()
	all := [2]sampler{{to: r}, {to: r}}
	for i := range 100 {
		all[i%2].add(int64(time.Duration(i+1) * time.Millisecond))
	}
	all[0].add(-1)
	all[1].add(int64(time.Hour))
	for i := range all {
		all[i].flush()
	}
	got := r.summary()
	if got.Count != 102 {
		t.Errorf("%d latencies, want 102", got.Count)
	}
	// Three digits are kept.
	if got.P50 < 50_000*0.998 || got.P50 > 51_000*1.002 {
		t.Errorf("the median is %v µs, want 50 to 51 ms", got.P50)
	}
	if got.Max < 60e6 || got.Max > 60e6*1.002 {
		t.Errorf("the maximum is %v µs, want the bound, a minute", got.Max)
	}
}

func TestProgressWritesLines(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.showf("1 s")
	p.showf("%d s", 2)
	p.end()
	if got, want := out.String(), "1 s\n2 s\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestProgressRewritesALineOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.terminal = true
	p.showf("longer")
	p.showf("short")
	p.end()
	if got, want := out.String(), "\rlonger\rshort \n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}
