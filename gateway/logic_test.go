package gateway

import (
	"context"
	"slices"
	"sync"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// request is a frame as logic gets it.
type request struct {
	hop.Identity
	Frame protocol.Frame
}

// scriptedLogic stands where logic would and lets a test decide.
type scriptedLogic struct {
	mu        sync.Mutex
	batches   [][]request // what Forward was given, copied
	again     []hop.Redelivery
	entering  [][]hop.Binding // what Enter was given
	loggedOut []hop.Binding
	loggedIn  chan hop.Identity
	gate      chan struct{} // Forward waits for a token, unless nil
	entered   chan int      // Forward says how large its batch is, unless nil
	answer    func(request) []byte
	redeliver func(*hop.Redelivery) []byte
	silence   time.Duration // heartbeat; default 30 s

	misdeed   misdeed               // what it does in place of its part
	meanwhile func(context.Context) // called in Forward
}

// misdeed is what a peer does that does not keep to the port; nil: nothing.
type misdeed struct {
	forward   func(*hop.Forward) (hop.Answers, error)
	query     func(*hop.Query) ([]byte, error)
	login     func(*hop.Login) (hop.Welcome, error)
	enter     func([]hop.Binding) ([]protocol.Code, error)
	logout    func([]hop.Binding) error
	redeliver func(*hop.Redelivery) ([]byte, error)
}

// within has logic call f in each Forward from now on.
func (l *scriptedLogic) within(f func(context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.meanwhile = f
}

// does has logic do this from now on.
func (l *scriptedLogic) does(m misdeed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.misdeed = m
}

func (l *scriptedLogic) doing() misdeed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.misdeed
}

func newLogic() *scriptedLogic {
	return &scriptedLogic{loggedIn: make(chan hop.Identity, 4096)}
}

// Login lets everybody in; the token's first byte is the user.
func (l *scriptedLogic) Login(_ context.Context, logins []hop.Login) (list []hop.Welcome, err error) {
	for i := range logins {
		w, err := l.logIn(&logins[i])
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}

// Enter enters everybody.
func (l *scriptedLogic) Enter(_ context.Context, connections []hop.Binding) ([]protocol.Code, error) {
	l.mu.Lock()
	l.entering = append(l.entering, slices.Clone(connections))
	l.mu.Unlock()
	if m := l.doing(); m.enter != nil {
		return m.enter(connections)
	}
	return make([]protocol.Code, len(connections)), nil
}

func (l *scriptedLogic) logIn(login *hop.Login) (hop.Welcome, error) {
	if m := l.doing(); m.login != nil {
		return m.login(login)
	}
	if len(login.Hello.Token) == 0 {
		return hop.Welcome{Code: protocol.CodeBadToken}, nil
	}
	heartbeat := l.silence
	if heartbeat == 0 {
		heartbeat = 30 * time.Second
	}
	user := uint64(login.Hello.Token[0])
	l.loggedIn <- hop.Identity{Gateway: login.Gateway, Conn: login.Conn, User: user, Device: login.Hello.Device}
	w := protocol.Welcome{Version: protocol.Version, User: user}
	return hop.Welcome{User: user, Number: 1, Heartbeat: uint16(heartbeat / time.Second), Frame: w.AppendFrame(nil, login.Request)}, nil
}

func (l *scriptedLogic) Logout(_ context.Context, over []hop.Binding) error {
	if m := l.doing(); m.logout != nil {
		return m.logout(over)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loggedOut = append(l.loggedOut, over...)
	return nil
}

func (l *scriptedLogic) Forward(ctx context.Context, batch *hop.Forward) (a hop.Answers, err error) {
	if l.entered != nil {
		l.entered <- batch.Len()
	}
	if l.gate != nil {
		<-l.gate
	}
	if m := l.doing(); m.forward != nil {
		return m.forward(batch)
	}
	l.mu.Lock()
	meanwhile := l.meanwhile
	l.mu.Unlock()
	if meanwhile != nil {
		meanwhile(ctx)
	}
	copied := make([]request, batch.Len())
	for i := range copied {
		f, ok := batch.Frame(i)
		if !ok {
			panic("the gateway sent what is no frame")
		}
		f.Payload = append([]byte(nil), f.Payload...)
		copied[i] = request{hop.Identity{Gateway: batch.Gateway, Conn: batch.Conns[i], User: batch.Users[i], Device: batch.Devices[i]}, f}
		if l.answer != nil {
			if b := l.answer(copied[i]); b != nil {
				a.Frames = append(a.Frames, b...)
				a.Close(i)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches = append(l.batches, copied)
	return a, nil
}

// Query answers every SYNC with an empty page.
func (l *scriptedLogic) Query(_ context.Context, q *hop.Query) ([]byte, error) {
	if m := l.doing(); m.query != nil {
		return m.query(q)
	}
	f, n, err := protocol.Split(q.Frame, protocol.MaxFrame)
	if err != nil || n != len(q.Frame) || f.Type != protocol.TypeSync {
		panic("the gateway asked what is no SYNC")
	}
	page := protocol.Synced{}
	return page.Finish(page.AppendFrame(nil, f.Request), 0), nil
}

func (l *scriptedLogic) Redeliver(_ context.Context, r *hop.Redelivery) ([]byte, error) {
	l.mu.Lock()
	l.again = append(l.again, *r)
	l.mu.Unlock()
	if m := l.doing(); m.redeliver != nil {
		return m.redeliver(r)
	}
	if l.redeliver == nil {
		return nil, nil
	}
	return l.redeliver(r), nil
}

func (l *scriptedLogic) requests() []request {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []request
	for _, b := range l.batches {
		all = append(all, b...)
	}
	return all
}

// over gives who was logged out.
func (l *scriptedLogic) over() []hop.Binding {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.loggedOut)
}

func (l *scriptedLogic) redeliveries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.again)
}

// ackSend answers SEND with a SENDACK of seq 1 and nothing else.
func ackSend(r request) []byte {
	var m protocol.Send
	if r.Frame.Type != protocol.TypeSend || m.Decode(r.Frame.Payload) != nil {
		return nil
	}
	return protocol.SendAck{ClientID: m.ClientID, Seq: 1}.AppendFrame(nil, r.Frame.Request)
}
