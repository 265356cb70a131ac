package endtoend

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"gannet/internal/command"
	"gannet/protocol"
)

// wholeServer is a server in this process.
type wholeServer struct {
	*command.Server
	data string
}

// startServer composes a whole server in this process.
func startServer(t testing.TB, flags ...string) wholeServer {
	t.Helper()
	data := t.TempDir()
	s, err := command.StartServer(slog.New(slog.DiscardHandler), append([]string{
		"--data", data, "--listen", "127.0.0.1:0", "--sockets", "1", "--debug", "127.0.0.1:0",
	}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return wholeServer{s, data}
}

// rawClient speaks bytes with a server.
type rawClient struct {
	net.Conn
	t  testing.TB
	in []byte
}

func dialRaw(t testing.TB, address string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawClient{Conn: conn, t: t}
}

// loginRaw logs in.
func loginRaw(t testing.TB, address, data string, user, device uint64) *rawClient {
	t.Helper()
	p := dialRaw(t, address)
	p.send(protocol.Hello{Version: protocol.Version, Token: []byte(sign(t, data, user)), Device: device}.AppendFrame(nil, 1))
	if f := p.next(); f.Type != protocol.TypeWelcome {
		t.Fatalf("login of %d: %#x", user, f.Type)
	}
	return p
}

// login logs in to a server of this process; the device is the user.
func (s wholeServer) login(t testing.TB, user uint64) *rawClient {
	t.Helper()
	return loginRaw(t, s.Address(), s.data, user, user)
}

func (p *rawClient) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *rawClient) read() (protocol.Frame, error) {
	if err := p.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return protocol.Frame{}, err
	}
	for {
		f, n, err := protocol.Split(p.in, protocol.MaxFrame)
		if err != nil {
			return f, err
		}
		if n > 0 {
			f.Payload = append([]byte(nil), f.Payload...)
			p.in = p.in[n:]
			return f, nil
		}
		buf := make([]byte, 64<<10)
		if n, err = p.Read(buf); err != nil {
			return f, err
		}
		p.in = append(p.in, buf[:n]...)
	}
}

func (p *rawClient) next() protocol.Frame {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatalf("reading a frame: %v", err)
	}
	return f
}

// failure decodes an ERROR or CLOSE.
func (p *rawClient) failure(f protocol.Frame) protocol.Code {
	p.t.Helper()
	var m protocol.Failure
	if err := m.Decode(f.Payload); err != nil {
		p.t.Fatal(err)
	}
	return m.Code
}

// alive says that the server still serves the connection, and gives the frames
// that came before the PONG.
func (p *rawClient) alive() (before []protocol.Frame) {
	p.t.Helper()
	p.send(protocol.AppendEmpty(nil, protocol.TypePing, 4711))
	for {
		f := p.next()
		if f.Type == protocol.TypePong && f.Request == 4711 {
			return before
		}
		before = append(before, f)
	}
}
