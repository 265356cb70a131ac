package redis

import (
	"maps"
	"testing"
)

func TestNoAddress(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a client without an address was made")
	}
}

func TestParse(t *testing.T) {
	got := parse("# Server\r\nrun_id:abc\r\nos:Linux 6 x86:64\r\n\r\n# Memory\r\nmaxmemory_policy:noeviction\r\n")
	want := map[string]string{"run_id": "abc", "os": "Linux 6 x86:64", "maxmemory_policy": "noeviction"}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
