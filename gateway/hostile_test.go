package gateway

import (
	"errors"
	"testing"
	"time"

	"gannet/internal/hop"
	"gannet/protocol"
)

// hostile is a gateway between clients and a logic that does not keep to its port.
type hostile struct {
	*stage
	victim, neighbour *peer
}

func newHostile(t *testing.T) *hostile {
	l := newLogic()
	l.answer = ackSend
	l.gate, l.entered = make(chan struct{}, 10), make(chan int, 10)
	h := &hostile{stage: newStage(t, l, Config{Lanes: 1, Writers: 1})}
	h.victim, h.neighbour = h.login(1), h.login(2)
	t.Cleanup(func() { // before the stop: an ack that waits for another try goes to logic at the end
		l.does(misdeed{})
		close(l.gate)
	})
	return h
}

// misdoing is one thing that a peer may do wrong, and what comes of it.
type misdoing struct {
	name    string
	misdeed misdeed
	meet    func(h *hostile, m *misdoing) // has the misdeed done and checks who hears what
	answers []protocol.Code               // of the frames that are answered; 0: no error
	closed  protocol.Code                 // with which a login ends; 0: it does not
	undone  bool                          // logic is told that the login is over
	counted map[string]uint64
}

const unlisted = protocol.Code(3999)

var (
	errHostile  = errors.New("hostile")
	unavailable = []protocol.Code{protocol.CodeUnavailable, protocol.CodeUnavailable, protocol.CodeUnavailable}
	first       = []protocol.Code{protocol.CodeUnavailable, 0, 0}
	failed      = map[string]uint64{"logic.failed": 1}
	panicked    = map[string]uint64{"logic.failed": 1, "panics": 1}
	unanswered  = map[string]uint64{"logic.unanswered": 1}

	sendAck  = protocol.SendAck{ClientID: 1, Seq: 1}.AppendFrame(nil, 1)
	close1   = protocol.Failure{Code: protocol.CodeReplaced}.AppendClose(nil)
	overlong = []byte{0x7F, 0, 0, 0, byte(protocol.TypeSendAck), 0, 0, 0, 0, 1}
)

// The frames that a misdeed of Forward gets are SEND 1, SEND 2, a PUSHACK that wants
// no answer, and READ 3; well answers them as logic should, and instead has other
// bytes for one of them.
func well(batch *hop.Forward, instead map[int][]byte) (a hop.Answers) {
	for i := range batch.Len() {
		f, _ := batch.Frame(i)
		b, other := instead[i]
		switch {
		case other:
			a.Frames = append(a.Frames, b...)
		case f.Type == protocol.TypeSend:
			a.Frames = protocol.SendAck{ClientID: uint64(f.Request), Seq: 1}.AppendFrame(a.Frames, f.Request)
		case f.Request != 0:
			a.Frames = protocol.AppendEmpty(a.Frames, protocol.TypeDone, f.Request)
		default:
			continue
		}
		a.Close(i)
	}
	return a
}

func forward(name string, answers []protocol.Code, counted map[string]uint64, do func(*hop.Forward) (hop.Answers, error)) misdoing {
	return misdoing{name: "Forward: " + name, misdeed: misdeed{forward: do}, meet: meetForward, answers: answers, counted: counted}
}

// answer has these bytes as the answer to SEND 1.
func answer(name string, b []byte) misdoing {
	return forward("an answer "+name, first, unanswered, func(batch *hop.Forward) (hop.Answers, error) {
		return well(batch, map[int][]byte{0: b}), nil
	})
}

// shape has lists that do not fit.
func shape(name string, change func(*hop.Answers)) misdoing {
	return forward(name, unavailable, failed, func(batch *hop.Forward) (hop.Answers, error) {
		a := well(batch, nil)
		change(&a)
		return a, nil
	})
}

func query(name string, counted map[string]uint64, do func(*hop.Query) ([]byte, error)) misdoing {
	return misdoing{name: "Query: " + name, misdeed: misdeed{query: do}, meet: meetQuery, counted: counted}
}

// reply has these bytes as the answer to SYNC 6.
func reply(name string, b []byte) misdoing {
	return query(name, unanswered, func(*hop.Query) ([]byte, error) { return b, nil })
}

func redeliver(name string, counted map[string]uint64, b []byte, err error) misdoing {
	return misdoing{name: "Redeliver: " + name, meet: meetRedeliver, counted: counted,
		misdeed: misdeed{redeliver: func(*hop.Redelivery) ([]byte, error) {
			if err == errPanic {
				panic("hostile")
			}
			return b, err
		}}}
}

func logout(name string, counted map[string]uint64, do func([]hop.Binding) error) misdoing {
	return misdoing{name: "Logout: " + name, misdeed: misdeed{logout: do}, meet: meetLogout, counted: counted}
}

// login changes what logic says to a HELLO that it lets in.
func login(name string, closed protocol.Code, undone bool, counted map[string]uint64, change func(*hop.Welcome) error) misdoing {
	return misdoing{name: "Login: " + name, meet: meetLogin, closed: closed, undone: undone, counted: counted,
		misdeed: misdeed{login: func(l *hop.Login) (hop.Welcome, error) {
			user := uint64(l.Hello.Token[0])
			w := hop.Welcome{User: user, Number: 1, Heartbeat: 30, Frame: protocol.Welcome{User: user}.AppendFrame(nil, l.Request)}
			err := change(&w)
			return w, err
		}}}
}

func enter(name string, closed protocol.Code, undone bool, counted map[string]uint64, do func([]hop.Binding) ([]protocol.Code, error)) misdoing {
	return misdoing{name: "Enter: " + name, meet: meetLogin, closed: closed, undone: undone, counted: counted, misdeed: misdeed{enter: do}}
}

var misdoings = []misdoing{
	forward("an error", unavailable, failed, func(*hop.Forward) (hop.Answers, error) { return hop.Answers{}, errHostile }),
	forward("an error beside answers", unavailable, failed, func(b *hop.Forward) (hop.Answers, error) { return well(b, nil), errHostile }),
	forward("a panic", unavailable, panicked, func(*hop.Forward) (hop.Answers, error) { panic("hostile") }),
	forward("no answers", unavailable, map[string]uint64{"logic.unanswered": 3}, func(*hop.Forward) (hop.Answers, error) { return hop.Answers{}, nil }),
	shape("one answer too many", func(a *hop.Answers) { a.Frames = append(a.Frames, sendAck...); a.Close(4) }),
	shape("an answer to a frame that does not exist", func(a *hop.Answers) { a.Of[2] = 1 << 31 }),
	shape("answers out of order", func(a *hop.Answers) { a.Of[0], a.Of[1] = 1, 0 }),
	shape("two answers to one frame", func(a *hop.Answers) { a.Of[1] = 0 }),
	shape("more answers than bounds", func(a *hop.Answers) { a.Ends = a.Ends[:2] }),
	shape("more bounds than answers", func(a *hop.Answers) { a.Of = a.Of[:2] }),
	shape("bounds that fall", func(a *hop.Answers) { a.Ends[1] = a.Ends[0] - 1 }),
	shape("bounds behind the bytes", func(a *hop.Answers) { a.Ends[2] += 1 << 20 }),
	shape("bytes behind the bounds", func(a *hop.Answers) { a.Frames = append(a.Frames, sendAck...) }),
	answer("of no bytes", nil),
	answer("that is no frame", []byte{0, 0, 0, 1, 2, 3}),
	answer("that is half a frame", sendAck[:len(sendAck)-1]),
	answer("that is longer than any frame", overlong),
	answer("of several frames", append(sendAck[:len(sendAck):len(sendAck)], sendAck...)),
	answer("to another request", protocol.SendAck{ClientID: 1, Seq: 1}.AppendFrame(nil, 2)),
	answer("that is a CLOSE", protocol.Frame{Type: protocol.TypeClose, Request: 1, Payload: close1[protocol.HeaderSize:]}.Append(nil)),
	answer("that is a PUSH", protocol.Frame{Type: protocol.TypePush, Request: 1, Payload: pushFrame(1, 2, 1, 1)[protocol.HeaderSize:]}.Append(nil)),
	answer("that is a HELLO", protocol.Hello{Version: 1}.AppendFrame(nil, 1)),
	answer("that is a WELCOME", protocol.Welcome{User: 1}.AppendFrame(nil, 1)),
	answer("that is a SYNCED", protocol.AppendEmpty(nil, protocol.TypeSynced, 1)),
	answer("that is a PONG", protocol.AppendEmpty(nil, protocol.TypePong, 1)),
	forward("an answer that is none where none is wanted", []protocol.Code{0, 0, 0}, unanswered, func(b *hop.Forward) (hop.Answers, error) {
		return well(b, map[int][]byte{2: close1}), nil
	}),
	forward("an unlisted code", []protocol.Code{unlisted, 0, 0}, nil, func(b *hop.Forward) (hop.Answers, error) { // newer than this gateway
		return well(b, map[int][]byte{0: protocol.Failure{Code: unlisted}.AppendError(nil, 1)}), nil
	}),

	query("an error", failed, func(*hop.Query) ([]byte, error) { return nil, errHostile }),
	query("a panic", panicked, func(*hop.Query) ([]byte, error) { panic("hostile") }),
	reply("nothing", nil),
	reply("no frame", []byte{1, 2, 3}),
	reply("half a frame", protocol.Synced{}.AppendFrame(nil, 6)[:9]),
	reply("two frames", append(protocol.AppendEmpty(nil, protocol.TypeDone, 6), protocol.AppendEmpty(nil, protocol.TypeDone, 6)...)),
	reply("the answer to another request", protocol.AppendEmpty(nil, protocol.TypeDone, 7)),
	reply("the answer to another question", protocol.AppendEmpty(nil, protocol.TypeDone, 6)),
	reply("a CLOSE", protocol.Frame{Type: protocol.TypeClose, Request: 6, Payload: close1[protocol.HeaderSize:]}.Append(nil)),
	reply("a WELCOME", protocol.Welcome{User: 1}.AppendFrame(nil, 6)),

	login("an error", protocol.CodeLoginUnavailable, false, failed, func(*hop.Welcome) error { return errHostile }),
	login("a panic", protocol.CodeLoginUnavailable, false, panicked, func(*hop.Welcome) error { panic("hostile") }),
	login("an unlisted code", unlisted, false, map[string]uint64{"close.other": 1}, func(w *hop.Welcome) error { w.Code = unlisted; return nil }),
	login("a code of requests", protocol.CodeUnavailable, false, map[string]uint64{"close.other": 1}, func(w *hop.Welcome) error { w.Code = protocol.CodeUnavailable; return nil }),
	login("nobody", protocol.CodeLoginUnavailable, false, unanswered, func(w *hop.Welcome) error { w.User = 0; return nil }),
	login("no frame", protocol.CodeLoginUnavailable, false, unanswered, func(w *hop.Welcome) error { w.Frame = nil; return nil }),
	login("a frame that is no WELCOME", protocol.CodeLoginUnavailable, false, unanswered, func(w *hop.Welcome) error { w.Frame = sendAck; return nil }),
	login("two frames", protocol.CodeLoginUnavailable, false, unanswered, func(w *hop.Welcome) error { w.Frame = append(w.Frame, w.Frame...); return nil }),
	login("a WELCOME to another request", protocol.CodeLoginUnavailable, false, unanswered, func(w *hop.Welcome) error {
		w.Frame = protocol.Welcome{User: 1}.AppendFrame(nil, 9)
		return nil
	}),
	login("a heartbeat of nothing", 0, true, nil, func(w *hop.Welcome) error { w.Heartbeat = 0; return nil }),
	login("a heartbeat of a day", 0, true, nil, func(w *hop.Welcome) error { w.Heartbeat = 65535; return nil }),

	enter("an error", protocol.CodeLoginUnavailable, true, failed, func([]hop.Binding) ([]protocol.Code, error) { return []protocol.Code{0}, errHostile }),
	enter("a panic", protocol.CodeLoginUnavailable, true, panicked, func([]hop.Binding) ([]protocol.Code, error) { panic("hostile") }),
	enter("no answer", protocol.CodeLoginUnavailable, true, failed, func([]hop.Binding) ([]protocol.Code, error) { return nil, nil }),
	enter("two answers", protocol.CodeLoginUnavailable, true, failed, func([]hop.Binding) ([]protocol.Code, error) { return make([]protocol.Code, 2), nil }),
	enter("that it is not known", protocol.CodeLoginUnavailable, true, nil, func([]hop.Binding) ([]protocol.Code, error) {
		return []protocol.Code{protocol.CodeLoginUnavailable}, nil
	}),
	enter("an unlisted code", unlisted, false, map[string]uint64{"close.other": 1}, func([]hop.Binding) ([]protocol.Code, error) { return []protocol.Code{unlisted}, nil }),

	logout("an error", map[string]uint64{"logic.failed": logoutTries, "logic.logouts": 1}, func([]hop.Binding) error { return errHostile }),
	logout("a panic", map[string]uint64{"logic.failed": logoutTries, "panics": logoutTries, "logic.logouts": 1}, func([]hop.Binding) error { panic("hostile") }),

	redeliver("an error", failed, nil, errHostile),
	redeliver("a panic", panicked, nil, errPanic),
	redeliver("no frame", unanswered, []byte{1, 2, 3}, nil),
	redeliver("half a frame", unanswered, pushFrame(1, 2, 1, 9)[:20], nil),
	redeliver("a frame and a half", unanswered, append(pushFrame(1, 2, 1, 9), 0, 0, 0, 9), nil),
	redeliver("a CLOSE", unanswered, close1, nil),
	redeliver("a hint among pushes", unanswered, append(pushFrame(1, 2, 1, 9), protocol.Cursor{}.AppendHint(nil)...), nil),
}

// Whatever logic does: who waits hears it once, it is counted and seldom logged, and
// afterwards the same connections are served as if nothing had been.
func TestGatewayBearsAHostileLogic(t *testing.T) {
	const times = 3
	for _, m := range misdoings {
		t.Run(m.name, func(t *testing.T) {
			h := newHostile(t)
			begin, before := time.Now(), h.Stats()
			for range times {
				m.meet(h, &m)
				h.logic.does(misdeed{})
			}
			for name, n := range m.counted {
				h.eventually("it is counted as "+name, func() bool { return h.stat(name) == before[name]+times*n })
			}
			if n, seconds := h.lines.most(), int(time.Since(begin)/time.Second); n > 1+seconds || n == 0 && len(m.counted) > 0 && m.counted["close.other"] == 0 {
				t.Errorf("one thing was logged %d times in %d s", n, seconds)
			}
			for _, p := range []*peer{h.victim, h.neighbour} {
				h.exchange(p)
			}
			if n := h.stat("connections"); n != 2 {
				t.Errorf("%d connections are left", n)
			}
		})
	}
}

// exchange is what always works: a SEND, a SYNC and a push, and nothing before or
// between their answers.
func (h *hostile) exchange(p *peer) {
	h.t.Helper()
	p.t = h.t
	h.turn(busyRetry + tick)
	p.send(sendFrame(3, 55, "as always"))
	<-h.logic.entered
	h.logic.gate <- struct{}{}
	if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != 55 {
		h.t.Fatalf("a SEND was answered with %#x to %d", f.Type, f.Request)
	}
	p.send(protocol.Sync{}.AppendFrame(nil, 56))
	if f := p.next(); f.Type != protocol.TypeSynced || f.Request != 56 {
		h.t.Fatalf("a SYNC was answered with %#x to %d", f.Type, f.Request)
	}
	h.push([]delivery{{Frame: pushFrame(3, 9, 57, 10), Conns: []uint64{p.conn}}})
	var m protocol.Message
	if f := p.next(); f.Type != protocol.TypePush || m.Decode(f.Payload) != nil || m.Seq != 57 {
		h.t.Fatalf("of a push came %#x", f.Type)
	}
}
