package hostport

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, address := range []string{"localhost:1", "127.0.0.1:65535", "[::1]:80", strings.Repeat("h", maxHost) + ":7"} {
		if err := Check(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	long := strings.Repeat("h", 10_000)
	for address, says := range map[string]string{
		"":                    "HOST:PORT",
		"host":                "HOST:PORT",
		"::1:80":              "HOST:PORT",
		"host:":               "is no port",
		"host:0":              "is no port",
		"host:65536":          "is no port",
		"host:http":           "is no port",
		":80":                 "names no host",
		long + ":80":          "more than 253 bytes",
		"host:" + long:        "is no port",
		long:                  "HOST:PORT",
		"host:80\n" + "host:": "HOST:PORT",
	} {
		if err := Check(address); err == nil || !strings.Contains(err.Error(), says) || len(err.Error()) > 300 {
			t.Errorf("%.80q: %v", address, err)
		}
	}
}
