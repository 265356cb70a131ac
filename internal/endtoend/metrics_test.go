package endtoend

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"gannet/internal/command"
)

// What a whole server counts keeps to the conventions of Prometheus.
func TestMetricsOfAServer(t *testing.T) {
	s, err := command.StartServer(slog.New(slog.DiscardHandler), "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--debug", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	answer, err := http.Get("http://" + s.DebugAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", answer.Status, err)
	}
	problems, err := promlint.New(strings.NewReader(string(body))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "gannet_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	if strings.Contains(string(body), " untyped\n") {
		t.Errorf("some counters have no help text:\n%s", body)
	}
	for _, part := range []string{"gateway", "logic", "store", "transfer"} {
		if !strings.Contains(string(body), "\ngannet_"+part+"_") {
			t.Errorf("nothing is told of %s", part)
		}
	}
}
