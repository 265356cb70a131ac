//go:build linux

package gateway

import (
	"crypto/tls"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel holds for a client that has stopped to read, and of whose socket nobody
// knows yet that it is blocked, is little.
func TestLittleIsHeldUnseen(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	p := st.login(1)
	p.buffer(4 << 10)
	socket := st.sessions.get(p.conn).transport.(*netpollTransport).fd
	most := 0
	for seq := uint64(1); ; seq++ {
		st.push([]delivery{{Frame: pushFrame(2, 1, seq, 1<<10), Conns: []uint64{p.conn}}})
		st.settled()
		if st.stat("blocked") > 0 {
			break
		}
		held, err := unix.IoctlGetInt(socket, unix.SIOCOUTQ)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, held)
	}
	if most == 0 || most > 3*unsentBytes {
		t.Errorf("up to %d bytes waited in the kernel before the socket was a blocked one, want at most %d", most, 3*unsentBytes)
	}
}

// The sockets below TLS are bounded likewise.
func TestLittleIsUnsentBelowTLS(t *testing.T) {
	st := newStage(t, newLogic(), Config{})
	address, pool := st.listenTLS()
	p := st.loginTLS(1, address, &tls.Config{RootCAs: pool})
	below := st.sessions.get(p.conn).transport.(*tlsTransport).conn.NetConn().(*tlsConn).Conn.(*net.TCPConn)
	raw, err := below.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	bound := 0
	if err := raw.Control(func(fd uintptr) {
		bound, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
	}); err != nil || bound != unsentBytes {
		t.Errorf("TCP_NOTSENT_LOWAT is %d (%v), want %d", bound, err, unsentBytes)
	}
}
