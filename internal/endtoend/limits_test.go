package endtoend

import (
	"strings"
	"testing"

	"gannet/internal/command"
	"gannet/protocol"
)

// A server as anybody starts it has its limits, each under its flag.
func TestLimitsOfAServer(t *testing.T) {
	t.Run("by default", func(t *testing.T) {
		s := startServer(t)
		p := s.login(t, 1)
		refused := 0
		for i := range uint32(20) {
			p.send(protocol.Sync{}.AppendFrame(nil, i+1))
			if f := p.next(); f.Type == protocol.TypeError {
				var m protocol.Failure
				if m.Decode(f.Payload) != nil || m.Code != protocol.CodeRateLimited || m.RetryAfter == 0 {
					t.Fatalf("SYNC is refused with %v after %d ms", m.Code, m.RetryAfter)
				}
				refused++
			}
		}
		if refused == 0 || counter(t, s.DebugAddress(), "gateway", "refused.user_rate") != uint64(refused) {
			t.Fatalf("of 20 SYNCs at once %d were refused", refused)
		}
	})
	t.Run("as flags say", func(t *testing.T) {
		s := startServer(t, "--limit-sends", "0.01/2", "--limit-devices", "2", "--limit-syncs", "off", "--limit-frames", "1k/50")
		p := s.login(t, 1)
		for id := uint64(1); id <= 3; id++ {
			p.send(protocol.Send{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, ClientID: id, Content: protocol.ContentText}.AppendFrame(nil, uint32(id)))
			if f := p.next(); f.Type == protocol.TypeError != (id == 3) {
				t.Fatalf("message %d is answered %#x", id, f.Type)
			}
		}
		for i := range uint32(30) {
			p.send(protocol.Sync{}.AppendFrame(nil, i+1))
			if f := p.next(); f.Type != protocol.TypeSynced {
				t.Fatalf("SYNC %d is answered %#x", i+1, f.Type)
			}
		}
		loginRaw(t, s.Address(), s.data, 1, 2)
		q := dialRaw(t, s.Address())
		q.send(protocol.Hello{Version: protocol.Version, Token: []byte(sign(t, s.data, 1)), Device: 3}.AppendFrame(nil, 1))
		f := q.next()
		var m protocol.Failure
		if f.Type != protocol.TypeClose || m.Decode(f.Payload) != nil || m.Code != protocol.CodeTooManySessions || m.RetryAfter == 0 {
			t.Fatalf("a third device is answered %#x %v after %d ms", f.Type, m.Code, m.RetryAfter)
		}
	})
	t.Run("devices of a conversation", func(t *testing.T) {
		s := startServer(t, "--limit-conversation-devices", "2")
		for device := uint64(1); device <= 3; device++ {
			p := loginRaw(t, s.Address(), s.data, 1, device)
			p.send(protocol.Send{Target: protocol.Target{Kind: protocol.KindDirect, ID: 2}, ClientID: 1, Content: protocol.ContentText}.AppendFrame(nil, 9))
			f := p.next()
			for f.Request != 9 {
				f = p.next() // a push
			}
			var m protocol.Failure
			if device <= 2 && f.Type != protocol.TypeSendAck {
				t.Fatalf("device %d is answered %#x", device, f.Type)
			}
			if device == 3 && (f.Type != protocol.TypeError || m.Decode(f.Payload) != nil || m.Code != protocol.CodeTooManyDevices) {
				t.Fatalf("device 3 is answered %#x %v", f.Type, m.Code)
			}
		}
	})
	t.Run("all off", func(t *testing.T) {
		s := startServer(t, "--limits", "off", "--limit-syncs", "1/1")
		p := s.login(t, 1)
		for i := range uint32(30) {
			p.send(protocol.Sync{}.AppendFrame(nil, i+1))
			if f := p.next(); f.Type != protocol.TypeSynced {
				t.Fatalf("SYNC %d is answered %#x", i+1, f.Type)
			}
		}
	})
	t.Run("from the environment", func(t *testing.T) {
		data := t.TempDir()
		s := serveWith(t, data, []string{"GANNET_LIMIT_SYNCS=1/1"}, "--data", data, "--listen", "127.0.0.1:0")
		p := loginRaw(t, s.address, data, 1, 1)
		p.send(append(protocol.Sync{}.AppendFrame(nil, 1), protocol.Sync{}.AppendFrame(nil, 2)...))
		if a, b := p.next().Type, p.next().Type; a == b || a != protocol.TypeError && b != protocol.TypeError {
			t.Fatalf("two SYNCs are answered %#x and %#x", a, b)
		}
	})
	t.Run("nonsense", func(t *testing.T) {
		if _, err := command.StartServer(nil, "--data", t.TempDir(), "--limit-sends", "many"); err == nil || !strings.Contains(err.Error(), "such as 200/2048") {
			t.Fatalf("a rate of \"many\": %v", err)
		}
	})
}
