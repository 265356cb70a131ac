package gannet

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gannet/protocol"
)

// patience bounds every wait of the tests; none is expected to come near it.
const patience = 10 * time.Second

// server is the other side of the client in these tests: it keeps the rules of
// the protocol in memory, on a real TCP listener, and does as a test scripts
// where a script is set. The token of user 7 is "user 7".
type server struct {
	t  testing.TB
	ln net.Listener
	wg sync.WaitGroup

	mu            sync.Mutex
	changed       *sync.Cond
	conversations map[protocol.Conversation]*kept
	peers         []*peer // logged in, oldest first
	logins        int
	clock         uint64
	got           []got  // every frame after HELLO
	heartbeat     uint16 // for WELCOME
	windowBytes   uint32 // likewise
	identity      string // likewise

	// script sees every frame first, HELLO too; true says that it was dealt
	// with. It is called with mu held.
	script func(p *peer, f protocol.Frame) bool

	// carry takes the place of writing a PUSH. It is called with mu held.
	carry func(p *peer, frame []byte)
}

// kept is a conversation as the server keeps it.
type kept struct {
	messages  []protocol.Message
	head      uint64 // above the last message when there is a hole behind it
	changed   uint64
	delivered map[uint64]uint64
	acked     map[[2]uint64]uint64 // by user and device
	read      map[uint64]uint64
	first     map[string]protocol.Message // by device and client id
}

// got is a frame that arrived; the payload is a copy.
type got struct {
	protocol.Frame
	login int // of which login of the server's, from 1
}

// peer is a connection.
type peer struct {
	conn         net.Conn
	login        int
	user, device uint64
}

func newServer(t testing.TB) *server {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, ln: ln, conversations: make(map[protocol.Conversation]*kept), clock: 1000, heartbeat: 30}
	s.changed = sync.NewCond(&s.mu)
	s.carry = (*peer).write
	s.wg.Add(1)
	go s.accept(ln)
	t.Cleanup(func() {
		ln.Close()
		s.cut()
		s.wg.Wait()
	})
	return s
}

func (s *server) addr() string { return s.ln.Addr().String() }

func (s *server) accept(ln net.Listener) {
	defer s.wg.Done()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		s.wg.Add(1)
		go s.serve(&peer{conn: conn})
	}
}

func (s *server) serve(p *peer) {
	defer s.wg.Done()
	defer s.gone(p)
	var data []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(chunk)
		if err != nil {
			return
		}
		data = append(data, chunk[:n]...)
		for {
			f, n, err := protocol.Split(data, protocol.MaxFrame)
			if err != nil {
				s.t.Errorf("the client sends a broken stream: %v", err)
				return
			}
			if n == 0 {
				break
			}
			f.Payload = slices.Clone(f.Payload)
			data = data[n:]
			s.handle(p, f)
		}
	}
}

func (s *server) gone(p *peer) {
	p.conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = slices.DeleteFunc(s.peers, func(other *peer) bool { return other == p })
	s.changed.Broadcast()
}

func (s *server) handle(p *peer, f protocol.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	if f.Type != protocol.TypeHello {
		s.got = append(s.got, got{f, p.login})
	}
	if s.script != nil && s.script(p, f) {
		return
	}
	s.answer(p, f)
}

// answer does what a server does. The caller holds mu.
func (s *server) answer(p *peer, f protocol.Frame) {
	switch f.Type {
	case protocol.TypeHello:
		s.welcome(p, f)
	case protocol.TypePing:
		p.write(protocol.AppendEmpty(nil, protocol.TypePong, f.Request))
	case protocol.TypeSend:
		s.send(p, f)
	case protocol.TypePushAck, protocol.TypeRead:
		s.cursor(p, f)
	case protocol.TypeSync:
		s.sync(p, f)
	case protocol.TypeHistory:
		s.history(p, f)
	default:
		s.t.Errorf("the client sends frame type %#x", uint8(f.Type))
	}
}

func (p *peer) write(frame []byte) { p.conn.Write(frame) }

func (p *peer) close(f protocol.Failure) {
	p.write(f.AppendClose(nil))
	p.conn.Close()
}

func (s *server) welcome(p *peer, f protocol.Frame) {
	hello := decode[protocol.Hello](s.t, f.Payload)
	user, err := strconv.ParseUint(strings.TrimPrefix(string(hello.Token), "user "), 10, 64)
	if err != nil {
		p.close(protocol.Failure{Code: protocol.CodeBadToken})
		return
	}
	s.logins++
	p.user, p.device, p.login = user, hello.Device, s.logins
	s.peers = append(s.peers, p)
	p.write(protocol.Welcome{
		Version: protocol.Version, User: user, Time: s.clock, Heartbeat: s.heartbeat,
		MaxFrame: protocol.MaxFrame, MaxBody: protocol.MaxBody, MaxUnacked: protocol.MaxUnacked,
		WindowBytes: s.windowBytes, Server: []byte(s.identity),
	}.AppendFrame(nil, f.Request))
}

func (s *server) conversation(key protocol.Conversation) *kept {
	v := s.conversations[key]
	if v == nil {
		v = &kept{delivered: map[uint64]uint64{}, acked: map[[2]uint64]uint64{}, read: map[uint64]uint64{}, first: map[string]protocol.Message{}}
		s.conversations[key] = v
	}
	return v
}

func (s *server) tick() uint64 { s.clock++; return s.clock }

// store gives a message its seq, or finds its first try.
func (s *server) store(m protocol.Message) (protocol.Message, bool) {
	v := s.conversation(m.Conversation())
	try := fmt.Sprint(m.Sender, m.Device, m.ClientID)
	if first, again := v.first[try]; again {
		return first, false
	}
	v.head++
	m.Seq, m.Time = v.head, s.tick()
	v.messages = append(v.messages, m)
	v.changed = m.Time
	v.first[try] = m
	if device := [2]uint64{m.Sender, m.Device}; m.Seq == v.acked[device]+1 {
		v.acked[device] = m.Seq
		v.delivered[m.Sender] = max(v.delivered[m.Sender], m.Seq)
	}
	return m, true
}

func (s *server) send(p *peer, f protocol.Frame) {
	in := decode[protocol.Send](s.t, f.Payload)
	m, fresh := s.store(protocol.Message{
		Target: in.Target, Sender: p.user, Device: p.device, ClientID: in.ClientID,
		Content: in.Content, Body: in.Body,
	})
	p.write(protocol.SendAck{ClientID: m.ClientID, Seq: m.Seq, Time: m.Time}.AppendFrame(nil, f.Request))
	if fresh {
		s.push(m)
	}
}

// push sends a message to everybody entitled but its device. In these tests
// every user is in every group.
func (s *server) push(m protocol.Message) {
	for _, p := range s.peers {
		member := m.Target.Kind == protocol.KindGroup || p.user == m.Sender || p.user == m.Target.ID
		if member && (p.user != m.Sender || p.device != m.Device) {
			s.carry(p, m.AppendFrame(nil))
		}
	}
}

func (s *server) cursor(p *peer, f protocol.Frame) {
	in := decode[protocol.Cursor](s.t, f.Payload)
	v := s.conversation(in.Target.Conversation(p.user))
	in.Seq = min(in.Seq, v.head)
	v.delivered[p.user] = max(v.delivered[p.user], in.Seq)
	if device := [2]uint64{p.user, p.device}; f.Type == protocol.TypePushAck {
		v.acked[device] = max(v.acked[device], in.Seq)
	} else {
		v.read[p.user] = max(v.read[p.user], in.Seq)
	}
	v.changed = s.tick()
	if f.Request != 0 {
		p.write(protocol.AppendEmpty(nil, protocol.TypeDone, f.Request))
	}
}

// syncPage is small, so that tests page.
const syncPage = 2

func (s *server) sync(p *peer, f protocol.Frame) {
	in := decode[protocol.Sync](s.t, f.Payload)
	var keys []protocol.Conversation
	for key, v := range s.conversations {
		member := key.Kind == protocol.KindGroup || key.A == p.user || key.B == p.user
		target := key.Target(p.user)
		if in.Unacked && v.acked[[2]uint64{p.user, p.device}] >= v.head {
			continue
		}
		if member && v.changed >= in.Since && (in.After.Kind < target.Kind || in.After.Kind == target.Kind && in.After.ID < target.ID) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b protocol.Conversation) int {
		x, y := a.Target(p.user), b.Target(p.user)
		if x.Kind != y.Kind {
			return int(x.Kind) - int(y.Kind)
		}
		return int(int64(x.ID - y.ID))
	})
	page := protocol.Synced{Next: s.tick(), More: len(keys) > syncPage}
	if page.More {
		keys = keys[:syncPage]
	}
	frame := page.AppendFrame(nil, f.Request)
	for _, key := range keys {
		frame = s.state(key, p.user, p.device).Append(frame)
		page.After = key.Target(p.user)
		page.Count++
	}
	p.write(page.Finish(frame, 0))
}

func (s *server) state(key protocol.Conversation, user, device uint64) protocol.State {
	v, target := s.conversations[key], key.Target(user)
	state := protocol.State{
		Target: target, Head: v.head, Delivered: v.delivered[user], Read: v.read[user],
		Acked: v.acked[[2]uint64{user, device}],
	}
	if target.Kind == protocol.KindDirect {
		state.PeerDelivered, state.PeerRead = v.delivered[target.ID], v.read[target.ID]
	}
	for _, m := range v.messages {
		if m.Sender != user && m.Seq > v.read[user] {
			state.Unread++
		}
	}
	if n := len(v.messages); n > 0 {
		last := v.messages[n-1]
		state.LastSize = uint32(len(last.Body))
		last.Body = last.Body[:min(len(last.Body), protocol.MaxPreview)]
		state.Last = last.AppendPayload(nil)
	}
	return state
}

// historyPage is small, so that tests page.
const historyPage = 4

func (s *server) history(p *peer, f protocol.Frame) {
	in := decode[protocol.History](s.t, f.Payload)
	v := s.conversation(in.Target.Conversation(p.user))
	page := protocol.Messages{Target: in.Target, First: max(in.Seq, 1), Last: v.head, Head: v.head}
	if in.Direction == protocol.Backward {
		page.First = 1
		if in.Seq != 0 {
			page.Last = min(in.Seq, v.head)
		}
	}
	var items []protocol.Message
	for _, m := range v.messages {
		if m.Seq >= page.First && m.Seq <= page.Last {
			items = append(items, m)
		}
	}
	if n := len(items); n > historyPage && in.Direction == protocol.Backward {
		items = items[n-historyPage:]
		page.First = items[0].Seq
	} else if n > historyPage {
		items = items[:historyPage]
		page.Last = items[historyPage-1].Seq
	}
	frame := page.AppendFrame(nil, f.Request)
	for _, m := range items {
		frame = protocol.AppendMessage(frame, m.AppendPayload(nil))
		page.Count++
	}
	p.write(page.Finish(frame, 0))
}
