package chain_test

import (
	"testing"

	"gannet/internal/chain"
	"gannet/internal/chain/chaintest"
)

// TestMemoryStream holds the broker that the tests of this package use to its port.
func TestMemoryStream(t *testing.T) {
	var queues []chain.Queue
	for n := range chaintest.Stories + 1 {
		queues = append(queues, chain.Queue{Class: chain.System, Number: n})
	}
	stream, age := chain.NewMemory()
	chaintest.TestStream(t, chaintest.Setup{Stream: stream, Queues: queues, Age: age})
}
