package command

import (
	"net"
	"testing"
)

// A gateway that listens on all interfaces is shown at the host that it advertises to other
// nodes, and one that listens at one address at that.
func TestWhereClientsReachAGateway(t *testing.T) {
	for _, listens := range []string{"0.0.0.0:0", ":0", "[::]:0", "127.0.0.1:0"} {
		l, err := net.Listen("tcp", listens)
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		want := "10.0.0.10:" + port
		if listens == "127.0.0.1:0" {
			want = listens[:len("127.0.0.1:")] + port
		}
		f := nodeFlags{RPCListen: "0.0.0.0:7500", RPCAdvertise: "10.0.0.10:7500"}
		advertised, err := f.advertised(&net.TCPAddr{IP: net.IPv4zero, Port: 7500})
		if err != nil {
			t.Fatal(err)
		}
		if got := clientsReach(l.Addr().String(), advertised); got != want {
			t.Errorf("of %s clients are told %s, want %s", listens, got, want)
		}
		l.Close()
	}
	if got := clientsReach("0.0.0.0:7420", "node.example:7500"); got != "node.example:7420" {
		t.Errorf("of a name clients are told %s", got)
	}
	if got := clientsReach("[::]:7420", "[fd00::1]:7500"); got != "[fd00::1]:7420" {
		t.Errorf("of IPv6 clients are told %s", got)
	}
}
