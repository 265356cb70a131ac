package endtoend

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"gannet/protocol"
)

// The debug endpoint says how the server is, and the counters follow what happens.
func TestDebugEndpoint(t *testing.T) {
	server := serve(t, t.TempDir(), "127.0.0.1:0", "--debug", "127.0.0.1:0")
	if status, body := look(t, server.debug, "/healthz"); status != http.StatusOK || !strings.HasPrefix(body, "ok ") {
		t.Errorf("health: %d %q", status, body)
	}
	status, body := look(t, server.debug, "/debug/unreadable")
	var unreadable []any
	if err := json.Unmarshal([]byte(body), &unreadable); status != http.StatusOK || err != nil || len(unreadable) > 0 {
		t.Errorf("unreadable records: %d %q, %v", status, body, err)
	}
	client := loginRaw(t, server.address, server.data, 1, 1)
	client.send(protocol.Send{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, ClientID: 1, Content: protocol.ContentText}.AppendFrame(nil, 1))
	if f := client.next(); f.Type != protocol.TypeSendAck {
		t.Fatalf("%#x", f.Type)
	}
	for name, want := range map[string]uint64{"connections": 1, "accepted": 1, "requests": 1, "close.peer": 0} {
		if got := counter(t, server.debug, "gateway", name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	client.Close()
	await(t, "the connection is counted as closed", func() bool {
		return counter(t, server.debug, "gateway", "close.peer") == 1 && counter(t, server.debug, "gateway", "connections") == 0
	})
	status, body = look(t, server.debug, "/debug/memory?gc=1")
	var memory map[string]uint64
	if err := json.Unmarshal([]byte(body), &memory); status != http.StatusOK || err != nil || memory["heap_inuse"] == 0 || memory["rss"] == 0 {
		t.Errorf("memory: %d %q, %v", status, body, err)
	}
	if status, body := look(t, server.debug, "/debug/pprof/heap?debug=1"); status != http.StatusOK || !strings.Contains(body, "heap profile") {
		t.Errorf("profiles: %d", status)
	}
	server.stop()
}
