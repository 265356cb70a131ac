package logic_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gannet/protocol"
)

func (r *rig) token(user uint64) []byte {
	r.t.Helper()
	token, err := r.keys.Sign(user, time.Hour, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return []byte(token)
}

func at(conn uint64) protocol.Identity { return protocol.Identity{Gateway: 3, Conn: conn} }

func TestLogin(t *testing.T) {
	r := newRig(t)
	hello := protocol.Hello{Version: protocol.Version, Token: r.token(42), Device: 7, Heartbeat: 60}
	login, code := r.Login(context.Background(), at(1), 5, &hello)
	if code != 0 || login.User != 42 || login.Heartbeat != time.Minute {
		t.Fatalf("login %+v, code %s", login, code)
	}
	f := split(t, login.Welcome)[0]
	var got protocol.Welcome
	want := protocol.Welcome{Version: protocol.Version, User: 42, Time: uint64(r.clock.UnixMilli()), Heartbeat: 60,
		MaxFrame: protocol.MaxFrame, MaxBody: protocol.MaxBody, MaxUnacked: protocol.MaxUnacked}
	if f.Type != protocol.TypeWelcome || f.Request != 5 || got.Decode(f.Payload) != nil || got != want {
		t.Fatalf("the welcome is %+v for request %d, want %+v for 5", got, f.Request, want)
	}
	if where := r.directory.devices[[2]uint64{42, 7}]; where != (protocol.Address{Gateway: 3, Conn: 1}) {
		t.Fatalf("the directory has %+v", where)
	}
}

func TestLoginRefused(t *testing.T) {
	r := newRig(t)
	expired, err := r.keys.Sign(42, time.Hour, time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	good := protocol.Hello{Version: protocol.Version, Token: r.token(42), Device: 7}
	for name, c := range map[string]struct {
		change func(*protocol.Hello)
		code   protocol.Code
	}{
		"another version":   {func(h *protocol.Hello) { h.Version = 2 }, protocol.CodeBadVersion},
		"no version":        {func(h *protocol.Hello) { h.Version = 0 }, protocol.CodeBadVersion},
		"no device":         {func(h *protocol.Hello) { h.Device = 0 }, protocol.CodeBadDevice},
		"no token":          {func(h *protocol.Hello) { h.Token = nil }, protocol.CodeBadToken},
		"a token too long":  {func(h *protocol.Hello) { h.Token = make([]byte, protocol.MaxToken+1) }, protocol.CodeBadToken},
		"a changed token":   {func(h *protocol.Hello) { h.Token[len(h.Token)-5] ^= 1 }, protocol.CodeBadToken},
		"an expired token":  {func(h *protocol.Hello) { h.Token = []byte(expired) }, protocol.CodeTokenExpired},
		"garbage for token": {func(h *protocol.Hello) { h.Token = []byte("\x00..\xff") }, protocol.CodeBadToken},
	} {
		t.Run(name, func(t *testing.T) {
			hello := good
			hello.Token = slices.Clone(good.Token)
			c.change(&hello)
			if _, code := r.Login(context.Background(), at(1), 1, &hello); code != c.code {
				t.Fatalf("code %s, want %s", code, c.code)
			}
			if len(r.directory.devices) != 0 {
				t.Fatal("the refused device is in the directory")
			}
		})
	}

	r.directory.err = errors.New("no answer")
	if _, code := r.Login(context.Background(), at(1), 1, &good); code != protocol.CodeLoginUnavailable {
		t.Fatalf("without a directory: code %s, want login_unavailable", code)
	}
}

func TestLoginHeartbeat(t *testing.T) {
	r := newRig(t)
	for asked, want := range map[uint16]time.Duration{
		0: 30 * time.Second, 1: time.Second, 45: 45 * time.Second, 300: 5 * time.Minute, 301: 5 * time.Minute, 65535: 5 * time.Minute,
	} {
		hello := protocol.Hello{Version: protocol.Version, Token: r.token(1), Device: 7, Heartbeat: asked}
		login, _ := r.Login(context.Background(), at(1), 1, &hello)
		var welcome protocol.Welcome
		if err := welcome.Decode(split(t, login.Welcome)[0].Payload); err != nil || login.Heartbeat != want ||
			time.Duration(welcome.Heartbeat)*time.Second != want {
			t.Errorf("asked for %d s: %v in force, %d s told; want %v", asked, login.Heartbeat, welcome.Heartbeat, want)
		}
	}
}

func TestOneConnectionADevice(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	login := func(conn, user, device uint64) {
		t.Helper()
		hello := protocol.Hello{Version: protocol.Version, Token: r.token(user), Device: device}
		if _, code := r.Login(ctx, at(conn), 1, &hello); code != 0 {
			t.Fatalf("code %s", code)
		}
	}
	identity := func(conn uint64) protocol.Identity {
		return protocol.Identity{Gateway: 3, Conn: conn, User: 42, Device: 7}
	}
	login(1, 42, 7)
	login(2, 42, 8) // another device
	login(3, 43, 7) // another user
	if len(r.directory.kicked) != 0 {
		t.Fatalf("kicked %+v, want nobody", r.directory.kicked)
	}
	login(4, 42, 7)
	if want := []protocol.Address{{Gateway: 3, Conn: 1}}; !slices.Equal(r.directory.kicked, want) {
		t.Fatalf("kicked %+v, want %+v", r.directory.kicked, want)
	}
	r.Logout(ctx, identity(1)) // of the replaced connection
	if where := r.directory.devices[[2]uint64{42, 7}]; where.Conn != 4 {
		t.Fatalf("after the old connection ended the device is at %+v, want connection 4", where)
	}
	r.Logout(ctx, identity(4))
	if where, ok := r.directory.devices[[2]uint64{42, 7}]; ok {
		t.Fatalf("after its connection ended the device is at %+v", where)
	}
}
