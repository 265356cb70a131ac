package command

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"gannet/internal/registry"
)

func listenHere(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// A node does not start that is not reached where others would look for it.
func TestProveAddress(t *testing.T) {
	own, other := listenHere(t), listenHere(t)
	stray, err := net.Dial("tcp", own.Addr().String()) // which says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer stray.Close()
	if err := proveAddress(t.Context(), own, own.Addr().String()); err != nil {
		t.Errorf("its own address: %v", err)
	}
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	if err := proveAddress(within(time.Second), own, "127.0.0.1:9"); err == nil || !strings.Contains(err.Error(), "nobody answers at 127.0.0.1:9") || !strings.Contains(err.Error(), "--rpc-advertise") {
		t.Errorf("an address at which nobody is: %v", err)
	}
	if err := proveAddress(within(5*time.Second), own, other.Addr().String()); err == nil || !strings.Contains(err.Error(), "is not this node") {
		t.Errorf("the address of another: %v", err)
	}
	go func() { // it goes on to be used
		if conn, err := net.Dial("tcp", own.Addr().String()); err == nil {
			conn.Close()
		}
	}()
	if conn, err := own.Accept(); err != nil {
		t.Errorf("afterwards: %v", err)
	} else {
		conn.Close()
	}
}

// An address on loopback is refused where nodes of other machines are registered, and said of
// others where they have one.
func TestCheckOthers(t *testing.T) {
	viewOf := func(addresses ...string) *registry.View {
		v := &registry.View{}
		for i, a := range addresses {
			v.Nodes = append(v.Nodes, registry.Node{ID: uint64(i + 1), Role: registry.Transfer, Addresses: map[string]string{registry.RPC: a}})
		}
		return v
	}
	for _, c := range []struct {
		own            string
		others         []string
		refused, warns bool
	}{
		{"127.0.0.1:7500", nil, false, false},
		{"127.0.0.1:7500", []string{"127.0.0.1:7501", "", "name.invalid:1"}, false, false},
		{"127.0.0.1:7500", []string{"127.0.0.1:7501", "192.0.2.7:7500"}, true, false},
		{"localhost:7500", []string{"[2001:db8::7]:7500"}, true, false},
		{"192.0.2.8:7500", []string{"192.0.2.7:7500"}, false, false},
		{"192.0.2.8:7500", []string{"127.0.0.1:7501"}, false, true},
	} {
		var said strings.Builder
		err := checkOthers(t.Context(), viewOf(c.others...), c.own, slog.New(slog.NewTextHandler(&said, nil)))
		if (err != nil) != c.refused || strings.Contains(said.String(), "level=WARN") != c.warns {
			t.Errorf("%s beside %q: %v, %q", c.own, c.others, err, said.String())
		}
		if err != nil && (!strings.Contains(err.Error(), c.own) || !strings.Contains(err.Error(), c.others[len(c.others)-1]) || !strings.Contains(err.Error(), "--rpc-listen")) {
			t.Errorf("it says %v", err)
		}
	}
	// Another address of this machine is as good as loopback.
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if err := checkOthers(t.Context(), viewOf(net.JoinHostPort(a.(*net.IPNet).IP.String(), "1")), "127.0.0.1:7500", slog.Default()); err != nil {
			t.Errorf("beside a node of this machine at %v: %v", a, err)
		}
	}
}

// The example of a cluster in docs/cluster.md works as it stands: all roles take the settings
// and several nodes find room on one machine.
func TestClusterOfTheDocuments(t *testing.T) {
	text, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text2, _ := strings.Cut(string(text), "One file serves all nodes")
	var settings []string
	nodes := 0
	for line := range strings.Lines(text2) {
		code, isCode := strings.CutPrefix(line, "    ")
		code, _, _ = strings.Cut(code, " #")
		words := strings.Fields(code)
		switch {
		case !isCode && nodes > 0:
			if nodes != 3 {
				t.Errorf("%d nodes are started", nodes)
			}
			return
		case !isCode || len(words) == 0:
		case words[0] == "export":
			name, value, _ := strings.Cut(words[1], "=")
			t.Setenv(name, strings.Replace(value, "10.0.0.10", "127.0.0.1", 1))
		case words[0] == "gannet":
			c, err := parseSettings(t, strings.Replace(strings.Join(settings, "\n"), "10.0.0.10", "127.0.0.1", 1), append(words[1:2], words[4:]...)...)
			if err != nil {
				t.Fatal(err)
			}
			at := map[string]*nodeFlags{"logic": &c.Logic.nodeFlags, "transfer": &c.Transfer.nodeFlags, "gateway": &c.Gateway.nodeFlags}[words[1]]
			for range 2 {
				l, err := net.Listen("tcp", at.RPCListen)
				if err != nil {
					t.Errorf("%s: %v", code, err)
					continue
				}
				defer l.Close()
				if address, err := at.advertised(l.Addr()); err != nil {
					t.Errorf("%s is reached at %s, %v", code, address, err)
				}
			}
			nodes++
		default:
			settings = append(settings, code)
		}
	}
}
