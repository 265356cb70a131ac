package endtoend

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"gannet/protocol"
)

// limitFiles has the program run with at most so many open files.
func limitFiles(c *exec.Cmd, files int) {
	c.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, files), c.Path}, c.Args[1:]...)
	c.Path = "/bin/sh"
}

// More sockets than there are files, on both listeners, none of which says a word: who
// is connected goes on, a newcomer logs in, and the store, which begins new files
// meanwhile, has what it needs.
func TestMoreSocketsThanFiles(t *testing.T) {
	const files, attackers, users, sends = 1300, 1500, 12, 20
	cert, key, _ := writeCertificate(t)
	data := t.TempDir()
	d := serveChanged(t, data, func(c *exec.Cmd) { limitFiles(c, files) },
		"--data", data, "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--debug", "127.0.0.1:0")
	var senders []*rawClient
	for user := range uint64(users) {
		senders = append(senders, loginRaw(t, d.address, data, user+1, user+1))
	}
	for i := range attackers {
		c, err := net.Dial("tcp", []string{d.address, d.tls}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	await(t, "the attack is over", func() bool { return counter(t, d.debug, "gateway", "accepted") >= attackers })
	body := []byte(strings.Repeat("x", 60<<10)) // the first memtables of the store are small, so it begins several
	for i := range sends {
		for user, p := range senders {
			p.send(protocol.Send{
				Target: protocol.Target{Kind: protocol.KindDirect, ID: uint64(user) + 100}, ClientID: uint64(i) + 1,
				Content: protocol.ContentText, Body: body,
			}.AppendFrame(nil, uint32(i)+1))
		}
		for user, p := range senders {
			if f := p.next(); f.Type != protocol.TypeSendAck || f.Request != uint32(i)+1 {
				t.Fatalf("SEND %d of user %d was answered with %v", i, user+1, f.Type)
			}
		}
	}
	loginRaw(t, d.address, data, 99, 99)
	if n := counter(t, d.debug, "gateway", "places.taken"); n > files-1200 {
		t.Errorf("%d sockets take a place of %d", n, files-1200)
	}
	for _, p := range senders {
		p.Close()
	}
	d.stop()
	if lines := strings.Count(d.out.String(), "\n"); lines > 100 {
		t.Errorf("%d lines were logged:\n%.2000s", lines, d.out.String())
	}
}
