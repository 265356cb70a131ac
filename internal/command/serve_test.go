package command

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestLogFormats(t *testing.T) {
	var out bytes.Buffer
	c := processFlags{LogLevel: "warn", LogFormat: "json"}
	log, err := c.logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not this")
	log.Warn("something", "n", 5)
	var line struct {
		Msg string
		N   int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != "something" || line.N != 5 {
		t.Errorf("%v: %s", err, out.String())
	}
	out.Reset()
	c.LogFormat = "text"
	if log, err = c.logger(&out); err != nil {
		t.Fatal(err)
	}
	log.Warn("something", "n", 5)
	if !strings.Contains(out.String(), "msg=something n=5\n") {
		t.Errorf("%q", out.String())
	}
}
