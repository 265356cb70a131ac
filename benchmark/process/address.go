package process

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports of children lie below those that the kernel gives to connections, else a connection could
// have one while its child is restarted.
const (
	firstPort = 10_000
	lastPort  = 22_000
	portTries = 200 // how often a free one is looked for
)

// given has the addresses that FreeAddress gave, for no child has them before it starts.
var given sync.Map

// FreeAddress gives an address of this machine that nobody has, and that it did not give before.
func FreeAddress() (string, error) {
	for range portTries {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		if _, twice := given.LoadOrStore(address, true); twice {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("benchmark: no port is free")
}
