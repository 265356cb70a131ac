package gateway

import (
	"slices"
	"testing"

	"gannet/internal/hop"
	"gannet/protocol"
)

// letIn is a login that is in order.
func letIn(in *hop.Login, number uint64) hop.Welcome {
	user := in.Hello.Device
	return hop.Welcome{User: user, Number: number, Frame: protocol.Welcome{User: user}.AppendFrame(nil, in.Request)}
}

// enteredDevices gives the devices of each call that was to enter connections.
func (l *scriptedLogic) enteredDevices() (calls [][]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, call := range l.entering {
		var devices []uint64
		for _, b := range call {
			devices = append(devices, b.Device)
		}
		calls = append(calls, devices)
	}
	return calls
}

// A connection that ends before its turn, or while logic checks its login, never gets into
// the directory, where it would replace the connection that the device has meanwhile.
func TestLoginOfAConnectionThatIsGone(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{LoginWorkers: 1})
	asked, let := make(chan uint64, 10), make(chan struct{})
	l.does(misdeed{login: func(in *hop.Login) (hop.Welcome, error) {
		asked <- in.Hello.Device
		<-let
		return letIn(in, 40+in.Hello.Device), nil
	}})
	during, before, after := st.dial(), st.dial(), st.dial()
	during.send(hello(1))
	if device := <-asked; device != 1 {
		t.Fatalf("asked about %d", device)
	}
	before.send(hello(2))
	st.eventually("it waits for its turn", func() bool { return st.stat("frames_in") == 2 })
	during.Close()
	before.Close()
	st.eventually("both are gone", func() bool { return st.stat("connections") == 1 })
	after.send(hello(3))
	st.eventually("it waits for its turn", func() bool { return st.stat("frames_in") == 3 })
	close(let)
	if f := after.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("answered %#x", f.Type)
	}
	if device := <-asked; device != 3 {
		t.Errorf("asked about %d, whose connection was gone", device)
	}
	if n := st.stat("drop.logins"); n != 2 {
		t.Errorf("%d dropped logins counted", n)
	}
	if got := l.enteredDevices(); len(got) != 1 || !slices.Equal(got[0], []uint64{3}) {
		t.Errorf("entered were %d", got)
	}
	if over := l.over(); len(over) != 0 {
		t.Errorf("logged out: %+v", over)
	}
}

// A connection that ends while logic enters it is logged out again, under the number of
// its login.
func TestConnectionThatEndsWhileItIsEntered(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{})
	asked, let := make(chan struct{}), make(chan struct{})
	l.does(misdeed{
		login: func(in *hop.Login) (hop.Welcome, error) { return letIn(in, 41), nil },
		enter: func(list []hop.Binding) ([]protocol.Code, error) {
			close(asked)
			<-let
			return make([]protocol.Code, len(list)), nil
		},
	})
	p := st.dial()
	p.send(hello(1))
	<-asked
	p.Close()
	st.eventually("it is gone", func() bool { return st.stat("connections") == 0 })
	close(let)
	st.eventually("logic is told", func() bool { return len(l.over()) == 1 })
	if b := l.over()[0]; b.User != 1 || b.Device != 1 || b.Number != 41 || b.Gateway != st.Epoch() {
		t.Errorf("logged out: %+v", b)
	}
}

// What comes while logins are under way goes along with the next call, each with an answer
// of its own.
func TestManyLoginsGoTogether(t *testing.T) {
	l := newLogic()
	st := newStage(t, l, Config{LoginWorkers: 1, MaxConnections: 1000, MaxBeforeLogin: 1000})
	asked, let := make(chan struct{}, 1000), make(chan struct{})
	l.does(misdeed{
		login: func(in *hop.Login) (hop.Welcome, error) {
			asked <- struct{}{}
			<-let
			if in.Hello.Device == 7 {
				return hop.Welcome{Code: protocol.CodeBadToken}, nil
			}
			return letIn(in, 40+in.Hello.Device), nil
		},
		enter: func(list []hop.Binding) ([]protocol.Code, error) {
			codes := make([]protocol.Code, len(list))
			for i, b := range list {
				if b.Number != 40+b.Device {
					t.Errorf("device %d is entered under %d", b.Device, b.Number)
				}
				if b.Device == 9 {
					codes[i] = protocol.CodeReplaced
				}
			}
			return codes, nil
		},
	})
	const n = 2*loginMost + 50
	first := st.dial()
	first.send(hello(1))
	<-asked
	var peers []*peer
	for i := range uint64(n) {
		p := st.dial()
		p.send(hello(2 + i))
		peers = append(peers, p)
	}
	st.eventually("all wait", func() bool { return len(st.logins.waiting) == n })
	close(let)
	if f := first.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("answered %#x", f.Type)
	}
	for i, p := range peers {
		switch device := uint64(2 + i); device {
		case 7, 9:
			if code := p.closed(); code != map[uint64]protocol.Code{7: protocol.CodeBadToken, 9: protocol.CodeReplaced}[device] {
				t.Errorf("device %d is closed with %v", device, code)
			}
		default:
			if f := p.next(); f.Type != protocol.TypeWelcome {
				t.Fatalf("device %d is answered %#x", device, f.Type)
			}
		}
	}
	calls := l.enteredDevices()
	if got := st.stat("login.calls"); got != 4 || len(calls) != 4 || len(calls[1]) != loginMost-1 {
		t.Errorf("%d calls, which entered %d", got, calls)
	}
	if over := l.over(); len(over) != 0 {
		t.Errorf("logged out: %+v", over)
	}
}
