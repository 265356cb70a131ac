package logic_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gannet/internal/directory"
	"gannet/internal/hop"
	"gannet/logic"
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

// login logs in on a connection of gateway 3.
func (r *rig) login(conn uint64, hello protocol.Hello) hop.Welcome {
	r.t.Helper()
	w := r.check(conn, hello)
	if w.Code != 0 {
		if w.User != 0 || w.Number != 0 || len(w.Frame) != 0 {
			r.t.Errorf("refused with %s, and with more than that: %+v", w.Code, w)
		}
		return w
	}
	w.Code = r.enter(conn, hello.Device, w)
	return w
}

// check is the first half of login, and enter the second.
func (r *rig) check(conn uint64, hello protocol.Hello) hop.Welcome {
	r.t.Helper()
	list, err := r.Login(r.t.Context(), []hop.Login{{Address: hop.Address{Gateway: 3, Conn: conn}, Request: 5, Hello: hello}})
	if err != nil || len(list) != 1 {
		r.t.Fatalf("%+v, %v", list, err)
	}
	return list[0]
}

func (r *rig) enter(conn, device uint64, w hop.Welcome) protocol.Code {
	r.t.Helper()
	codes, err := r.Enter(r.t.Context(), []hop.Binding{entering(conn, device, w)})
	if err != nil || len(codes) != 1 {
		r.t.Fatalf("%v, %v", codes, err)
	}
	return codes[0]
}

func entering(conn, device uint64, w hop.Welcome) hop.Binding {
	return hop.Binding{Identity: hop.Identity{Gateway: 3, Conn: conn, User: w.User, Device: device}, Platform: protocol.PlatformBot, Number: w.Number}
}

func (r *rig) hello(user, device uint64) protocol.Hello {
	return protocol.Hello{Version: protocol.Version, Token: r.token(user), Device: device, Platform: protocol.PlatformBot}
}

// at gives where the devices of a user are.
func (r *rig) at(user uint64) (list []directory.Device) {
	r.t.Helper()
	_, list, err := r.directory.Devices(r.t.Context(), []directory.Lookup{{User: user}}, nil, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func TestLogin(t *testing.T) {
	r := newRig(t, nil)
	hello := r.hello(42, 7)
	hello.Heartbeat = 60
	w := r.login(1, hello)
	if w.Code != 0 || w.User != 42 || w.Number == 0 || w.Heartbeat != 60 {
		t.Fatalf("welcome %+v", w)
	}
	f := one(t, w.Frame)
	var got protocol.Welcome
	if f.Type != protocol.TypeWelcome || f.Request != 5 || got.Decode(f.Payload) != nil {
		t.Fatalf("answered with %#x for request %d", f.Type, f.Request)
	}
	if !bytes.Equal(got.Server, server) {
		t.Errorf("the server says that it is %q", got.Server)
	}
	got.Server = nil
	want := protocol.Welcome{Version: protocol.Version, User: 42, Time: uint64(r.clock.UnixMilli()), Heartbeat: 60,
		MaxFrame: protocol.MaxFrame, MaxBody: protocol.MaxBody, MaxUnacked: protocol.MaxUnacked, WindowBytes: protocol.MaxWindowBytes}
	if got.Version != want.Version || got.User != want.User || got.Time != want.Time || got.Heartbeat != want.Heartbeat ||
		got.MaxFrame != want.MaxFrame || got.MaxBody != want.MaxBody || got.MaxUnacked != want.MaxUnacked || got.Capabilities != 0 || got.WindowBytes != want.WindowBytes {
		t.Errorf("the welcome is %+v, want %+v", got, want)
	}
	where := directory.Device{User: 42, Device: 7, Platform: protocol.PlatformBot, At: hop.Address{Gateway: 3, Conn: 1}}
	if list := r.at(42); len(list) != 1 || list[0] != where {
		t.Errorf("the directory has %+v, want %+v", list, where)
	}
	if next := r.login(2, r.hello(42, 8)); next.Number <= w.Number {
		t.Errorf("login %d after %d", next.Number, w.Number)
	}
	wantNoTrouble(t, r.Service)
}

func TestLoginOfMoreDevicesThanMayBe(t *testing.T) {
	for most, want := range map[int]int{0: logic.DefaultMaxSessions, 3: 3} {
		r := newRig(t, func(c *logic.Config) { c.MaxSessions = most })
		var first hop.Welcome
		for i := 1; i <= want; i++ {
			w := r.login(uint64(i), r.hello(42, uint64(i)))
			if w.Code != 0 {
				t.Fatalf("device %d of %d is refused with %s", i, want, w.Code)
			}
			if i == 1 {
				first = w
			}
		}
		if w := r.login(100, r.hello(42, 100)); w.Code != protocol.CodeTooManySessions {
			t.Fatalf("one device more is answered with %s", w.Code)
		}
		if w := r.login(101, r.hello(42, 2)); w.Code != 0 {
			t.Fatalf("a device that is connected logs in anew and is refused with %s", w.Code)
		}
		if w := r.login(102, r.hello(43, 100)); w.Code != 0 {
			t.Fatalf("another user is refused with %s", w.Code)
		}
		gone := hop.Binding{Identity: hop.Identity{Gateway: 3, Conn: 1, User: 42, Device: 1}, Number: first.Number}
		if err := r.Logout(t.Context(), []hop.Binding{gone}); err != nil {
			t.Fatal(err)
		}
		if w := r.login(103, r.hello(42, 100)); w.Code != 0 {
			t.Fatalf("a device left, and the next one is refused with %s", w.Code)
		}
		if n := len(r.at(42)); n != want {
			t.Fatalf("%d devices are connected, %d may be", n, want)
		}
	}
	r := newRig(t, func(c *logic.Config) { c.MaxSessions = -1 })
	for i := uint64(1); i <= 3*logic.DefaultMaxSessions; i++ {
		if w := r.login(i, r.hello(42, i)); w.Code != 0 {
			t.Fatalf("without a bound device %d is refused with %s", i, w.Code)
		}
	}
}

func TestLoginRefused(t *testing.T) {
	r := newRig(t, nil)
	expired, err := r.keys.Sign(42, time.Hour, time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	good := r.hello(42, 7)
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
			if w := r.login(1, hello); w.Code != c.code {
				t.Fatalf("code %s, want %s", w.Code, c.code)
			}
			if list := r.at(42); len(list) != 0 {
				t.Fatal("the refused device is in the directory")
			}
		})
	}
	wantNoTrouble(t, r.Service)
}

// A login says when its token ends, so that its connection can end then; 0 is said for
// a token that does not, and for no other.
func TestLoginSaysWhenItEnds(t *testing.T) {
	r := newRig(t, nil)
	signed, err := r.keys.Sign(42, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	hello := r.hello(42, 7)
	hello.Token = []byte(signed)
	if w, in := r.login(1, hello), time.Now().Add(time.Hour).Unix(); w.Code != 0 || w.Expires < in-60 || w.Expires > in {
		t.Errorf("code %v, ends at %d, want about %d", w.Code, w.Expires, in)
	}
	for at, want := range map[time.Time]int64{
		{}: 0, time.Unix(1, 0): 1, time.Unix(0, 0): 1, time.Unix(-5, 0): 1,
		time.Unix(1_800_000_000, 999_999_999): 1_800_000_000, time.Unix(1<<40, 0): 1 << 40,
	} {
		r := newRig(t, func(c *logic.Config) { c.Tokens = until{at} })
		if w := r.login(1, hello); w.Code != 0 || w.Expires != want {
			t.Errorf("a token that ends at %v: code %v, ends at %d, want %d", at, w.Code, w.Expires, want)
		}
	}
}

func TestLoginHeartbeat(t *testing.T) {
	r := newRig(t, nil)
	for asked, want := range map[uint16]uint16{0: 30, 1: 1, 45: 45, 300: 300, 301: 300, 65535: 300} {
		hello := r.hello(1, 7)
		hello.Heartbeat = asked
		w := r.login(1, hello)
		var welcome protocol.Welcome
		if err := welcome.Decode(one(t, w.Frame).Payload); err != nil || w.Heartbeat != want || welcome.Heartbeat != want {
			t.Errorf("asked for %d s: %d in force, %d told; want %d", asked, w.Heartbeat, welcome.Heartbeat, want)
		}
	}
}

func TestOneConnectionADevice(t *testing.T) {
	r := newRig(t, nil)
	numbers := map[uint64]uint64{}
	login := func(conn, user, device uint64) {
		t.Helper()
		w := r.login(conn, r.hello(user, device))
		if w.Code != 0 {
			t.Fatalf("code %s", w.Code)
		}
		numbers[conn] = w.Number
	}
	logout := func(conn, user, device uint64) {
		t.Helper()
		over := hop.Binding{Identity: hop.Identity{Gateway: 3, Conn: conn, User: user, Device: device}, Number: numbers[conn]}
		if err := r.Logout(t.Context(), []hop.Binding{over}); err != nil {
			t.Fatal(err)
		}
	}
	login(1, 42, 7)
	login(2, 42, 8) // another device
	login(3, 43, 7) // another user
	if len(r.kicked) != 0 {
		t.Fatalf("kicked %+v, want nobody", r.kicked)
	}
	login(4, 42, 7)
	if want := []kick{{hop.Address{Gateway: 3, Conn: 1}, protocol.CodeReplaced}}; !slices.Equal(r.kicked, want) {
		t.Fatalf("kicked %+v, want %+v", r.kicked, want)
	}
	find := func(device uint64) (conn uint64) {
		for _, d := range r.at(42) {
			if d.Device == device {
				conn = d.At.Conn
			}
		}
		return conn
	}
	logout(1, 42, 7) // of the replaced connection
	if conn := find(7); conn != 4 {
		t.Fatalf("after the old connection ended the device is at %d, want 4", conn)
	}
	logout(4, 42, 7)
	if conn := find(7); conn != 0 {
		t.Fatalf("after its connection ended the device is at %d", conn)
	}
	if find(8) != 2 || len(r.at(43)) != 1 {
		t.Error("others are gone too")
	}
	wantNoTrouble(t, r.Service)
}

// later is a directory in which another login of the device, with a higher number,
// is faster.
type later struct{ *directory.Memory }

func (d later) Draw(ctx context.Context, users, dst []uint64) ([]uint64, error) {
	numbers, err := d.Memory.Draw(ctx, users, dst)
	if err != nil {
		return nil, err
	}
	next, err := d.Memory.Draw(ctx, users[:1], nil)
	if err != nil {
		return nil, err
	}
	_, err = d.Memory.Bind(ctx, []directory.Bind{{User: users[0], Device: 7, Number: next[0], At: hop.Address{Gateway: 4, Conn: 44}}}, nil)
	return numbers, err
}

// A login that is overtaken by a later one of its device is the one that ends.
func TestOvertakenLogin(t *testing.T) {
	memory := directory.NewMemory()
	r := newRig(t, func(c *logic.Config) { c.Directory = later{memory} })
	r.directory = memory
	if w := r.login(1, r.hello(42, 7)); w.Code != protocol.CodeReplaced {
		t.Errorf("code %s", w.Code)
	}
	if list := r.at(42); len(list) != 1 || list[0].At.Conn != 44 || len(r.kicked) != 0 {
		t.Errorf("the device is at %+v, kicked %+v", list, r.kicked)
	}
}

// deaf is a Gateways port that does not answer.
type deaf struct{ *rig }

func (d deaf) Kick(ctx context.Context, at hop.Address, code protocol.Code) error {
	_ = d.rig.Kick(ctx, at, code)
	return errors.New("no gateway there")
}

// A gateway that cannot be told of a replaced connection does not stop the login that
// replaced it.
func TestKickThatFails(t *testing.T) {
	var r *rig
	gateways := &deaf{}
	r = newRig(t, func(c *logic.Config) { c.Gateways = gateways })
	gateways.rig = r
	for conn := uint64(1); conn <= 3; conn++ {
		if w := r.login(conn, r.hello(42, 7)); w.Code != 0 {
			t.Fatalf("code %s", w.Code)
		}
	}
	if list := r.at(42); len(list) != 1 || list[0].At.Conn != 3 || len(r.kicked) != 2 {
		t.Errorf("the device is at %+v, kicked %+v", list, r.kicked)
	}
	wantStat(t, r.Service, "failed.kick", 2)
}

// hung is a Gateways port whose gateway neither answers nor refuses.
type hung struct{ *rig }

func (h hung) Kick(ctx context.Context, at hop.Address, code protocol.Code) error {
	_ = h.rig.Kick(ctx, at, code)
	<-ctx.Done()
	return ctx.Err()
}

// The clients of a gateway that died log in again at once, and do not wait until it would
// have closed their old connections.
func TestALoginDoesNotWaitForADeadGateway(t *testing.T) {
	var r *rig
	gateways := &hung{}
	r = newRig(t, func(c *logic.Config) { c.Gateways = gateways })
	gateways.rig = r
	if w := r.login(1, r.hello(42, 7)); w.Code != 0 {
		t.Fatalf("code %s", w.Code)
	}
	done := make(chan protocol.Code, 1)
	go func() { done <- r.login(2, r.hello(42, 7)).Code }()
	select {
	case code := <-done:
		if code != 0 || len(r.kicked) != 1 {
			t.Errorf("code %s, kicked %+v", code, r.kicked)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the login waits for a gateway that is dead")
	}
}
