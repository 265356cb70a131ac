package load

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"gannet/protocol"
)

// fakeServer speaks enough of the protocol for a load, and can be told to break
// its promises. Tokens are user ids.
type fakeServer struct {
	listener net.Listener
	served   sync.WaitGroup

	// spoil may change the message that has just been acked, as receivers and
	// history will see it; false loses it altogether. nil leaves all as they are.
	spoil func(m *protocol.Message) bool

	// answer may take a frame, and says what the client gets then; push gives what
	// the receiver of a message gets instead of it. nil: as it should be.
	answer    func(f protocol.Frame) (reply []byte, taken bool)
	push      func(m *protocol.Message) []byte
	heartbeat uint16 // seconds that WELCOME says

	windowBytes uint32 // likewise

	// says may change what SYNCED tells of a conversation; nil leaves it as it is.
	says func(s *protocol.State)

	mu            sync.Mutex
	users         map[uint64]net.Conn
	devices       map[uint64]uint64                             // by user
	conversations map[protocol.Conversation][]*protocol.Message // by seq-1; nil where one was lost
	delivered     map[[2]uint64]uint64                          // by user and peer: seq of the last PUSHACK …
	read          map[[2]uint64]uint64                          // … and of the last READ
}

// patience is how long to wait for what does not come: of an honest server everything comes, however
// busy the machine is.
func (s *fakeServer) patience() time.Duration {
	if s.spoil == nil {
		return 10 * time.Second
	}
	return 500 * time.Millisecond
}

func newFakeServer(t *testing.T, spoil func(m *protocol.Message) bool) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{
		listener: l, spoil: spoil, heartbeat: 30, users: make(map[uint64]net.Conn), devices: make(map[uint64]uint64),
		conversations: make(map[protocol.Conversation][]*protocol.Message),
		delivered:     make(map[[2]uint64]uint64), read: make(map[[2]uint64]uint64),
	}
	s.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.served.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.served.Wait()
	})
	return s
}

func (s *fakeServer) server() Server {
	return Server{
		Address: s.listener.Addr().String(),
		Token:   func(user uint64) (string, error) { return strconv.FormatUint(user, 10), nil },
	}
}

// serve answers one connection until the client closes it.
func (s *fakeServer) serve(conn net.Conn) {
	defer conn.Close()
	user := uint64(0)
	header := make([]byte, 4)
	for {
		if _, err := io.ReadFull(conn, header); err != nil {
			return
		}
		b := append(header[:4:4], make([]byte, binary.BigEndian.Uint32(header))...)
		if _, err := io.ReadFull(conn, b[4:]); err != nil {
			return
		}
		f, _, err := protocol.Split(b, protocol.MaxFrame)
		if err != nil {
			return
		}
		if user, err = s.handle(conn, user, f); err != nil {
			return
		}
	}
}

func (s *fakeServer) handle(conn net.Conn, user uint64, f protocol.Frame) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil {
		if reply, taken := s.answer(f); taken {
			_, err := conn.Write(reply)
			return user, err
		}
	}
	var reply []byte
	switch f.Type {
	case protocol.TypeHello:
		var m protocol.Hello
		if err := m.Decode(f.Payload); err != nil {
			return 0, err
		}
		var err error
		if user, err = strconv.ParseUint(string(m.Token), 10, 64); err != nil {
			return 0, err
		}
		s.users[user], s.devices[user] = conn, m.Device
		reply = protocol.Welcome{
			Version: protocol.Version, User: user, Heartbeat: s.heartbeat,
			MaxFrame: protocol.MaxFrame, MaxBody: protocol.MaxBody, MaxUnacked: protocol.MaxUnacked,
			WindowBytes: s.windowBytes,
		}.AppendFrame(nil, f.Request)
	case protocol.TypeSend:
		return user, s.send(conn, user, f)
	case protocol.TypeSync:
		reply = s.sync(user, f.Request)
	case protocol.TypePushAck, protocol.TypeRead:
		var m protocol.Cursor
		if err := m.Decode(f.Payload); err != nil {
			return 0, err
		}
		key := [2]uint64{user, m.Target.ID}
		s.delivered[key] = max(s.delivered[key], m.Seq)
		if f.Type == protocol.TypePushAck {
			return user, nil
		}
		s.read[key] = max(s.read[key], m.Seq)
		reply = protocol.AppendEmpty(nil, protocol.TypeDone, f.Request)
	case protocol.TypeHistory:
		var m protocol.History
		if err := m.Decode(f.Payload); err != nil {
			return 0, err
		}
		reply = s.history(user, m, f.Request)
	case protocol.TypePing:
		reply = protocol.AppendEmpty(nil, protocol.TypePong, f.Request)
	}
	_, err := conn.Write(reply)
	return user, err
}

func (s *fakeServer) send(conn net.Conn, user uint64, f protocol.Frame) error {
	var m protocol.Send
	if err := m.Decode(f.Payload); err != nil {
		return err
	}
	c := m.Target.Conversation(user)
	message := &protocol.Message{
		Target: m.Target, Seq: uint64(len(s.conversations[c]) + 1), Time: 1, Sender: user, Device: s.devices[user],
		ClientID: m.ClientID, Content: m.Content, Body: m.Body,
	}
	ack := protocol.SendAck{ClientID: m.ClientID, Seq: message.Seq, Time: message.Time}
	if _, err := conn.Write(ack.AppendFrame(nil, f.Request)); err != nil {
		return err
	}
	if s.spoil != nil && !s.spoil(message) {
		message = nil
	}
	s.conversations[c] = append(s.conversations[c], message)
	if message == nil {
		return nil
	}
	frame := message.AppendFrame(nil)
	if s.push != nil {
		frame = s.push(message)
	}
	_, err := s.users[m.Target.ID].Write(frame)
	return err
}

// history gives a page forward; the SDK repairs gaps with it.
func (s *fakeServer) history(user uint64, m protocol.History, request uint32) []byte {
	all := s.conversations[m.Target.Conversation(user)]
	page := protocol.Messages{Target: m.Target, First: max(1, m.Seq), Head: uint64(len(all))}
	page.Last = min(page.Head, page.First+protocol.MaxPage-1)
	b := page.AppendFrame(nil, request)
	for seq := page.First; seq <= page.Last; seq++ {
		if message := all[seq-1]; message != nil {
			b = protocol.AppendMessage(b, message.AppendPayload(nil))
			page.Count++
		}
	}
	return page.Finish(b, 0)
}

// sync tells of the user's conversations.
func (s *fakeServer) sync(user uint64, request uint32) []byte {
	page := protocol.Synced{Next: 1}
	b := page.AppendFrame(nil, request)
	for c, messages := range s.conversations {
		if c.A != user && c.B != user {
			continue
		}
		target := c.Target(user)
		key := [2]uint64{user, target.ID}
		state := protocol.State{Target: target, Head: uint64(len(messages)), Delivered: s.delivered[key], Read: s.read[key]}
		for _, m := range messages {
			if m != nil && m.Seq > state.Read && m.Sender != user {
				state.Unread++
			}
		}
		if s.says != nil {
			s.says(&state)
		}
		b = state.Append(b)
		page.Count++
	}
	return page.Finish(b, 0)
}
