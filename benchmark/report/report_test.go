package report

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"gannet/benchmark/meter"
)

func testReport() *Report {
	r := New("pairs", Set("users", 1000), Set("window", 32))
	r.Add("acked", 250_000, "messages/s")
	r.Figures = append(r.Figures, Figure{Name: "delivered", Value: 249_000.5, Unit: "messages/s", Limit: 500_000})
	r.Latencies = []Distribution{{"send to ack", meter.Latency{Count: 5, P50: 1000, P90: 2000, P99: 3000, P999: 4000, Max: 5000}}}
	r.Notes = []string{"interrupted"}
	return r
}

func TestReportSurvivesJSON(t *testing.T) {
	want := testReport()
	var f Faults
	f.Addf("message 1 was lost")
	var out bytes.Buffer
	if err := want.Finish(&out, true, &f); err == nil || !strings.Contains(err.Error(), "1 faults") {
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
	var f Faults
	f.Addf("message 1 was lost")
	var out bytes.Buffer
	_ = r.Finish(&out, false, &f)
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
	if err := testReport().Finish(io.Discard, false, new(Faults)); err != nil {
		t.Error(err)
	}
}

func TestNumbersAreGrouped(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 7: "7", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,234", 999_999.6: "1,000,000", 123_456_789: "123,456,789",
	} {
		if got := Number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}

func TestConditionsTellTheSettingsOfGo(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	if s := Here().Machine(); !strings.Contains(s, "GOMAXPROCS ") || strings.Contains(s, "GOGC") || strings.Contains(s, "GOMEMLIMIT") {
		t.Errorf("with Go's defaults: %s", s)
	}
	t.Setenv("GOGC", "400")
	t.Setenv("GOMEMLIMIT", "1GiB")
	if s := Here().Machine(); !strings.HasSuffix(s, ", GOGC 400, GOMEMLIMIT 1GiB") {
		t.Errorf("with settings: %s", s)
	}
}

func TestTheCommandCanBePasted(t *testing.T) {
	before := os.Args
	defer func() { os.Args = before }()
	os.Args = []string{"/usr/local/bin/gannet", "bench", "pairs", "--server-flags", "--lanes 2", "--data", "it's", "--seed=1"}
	if got, want := Command(), `gannet bench pairs --server-flags '--lanes 2' --data 'it'\''s' --seed=1`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
