package rpc

import (
	"fmt"
	"sync"
	"time"

	"github.com/cloudwego/kitex/client"

	"gannet/internal/hostport"
	"gannet/internal/operate"
)

// peerIdle is for how long a node that is not called is remembered.
const peerIdle = time.Minute

// peers has a client for each node of a role that this process calls, by address.
type peers[C any] struct {
	dial    func(service string, options ...client.Option) (C, error)
	refused *operate.Trouble // answers that are not valid

	mu        sync.Mutex
	byAddress map[string]*peer[C]
	closed    bool
}

// peer is a node. peers.mu guards it.
type peer[C any] struct {
	address string
	client  C
	conns   conns
	calls   int // under way
	used    time.Time
}

func newPeers[C any](dial func(string, ...client.Option) (C, error), refused *operate.Trouble) *peers[C] {
	return &peers[C]{dial: dial, refused: refused, byAddress: make(map[string]*peer[C])}
}

// take gives the client for a node. The caller returns it with give.
func (p *peers[C]) take(address string) (*peer[C], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	n := p.byAddress[address]
	if n == nil {
		if err := hostport.Check(address); err != nil {
			return nil, err
		}
		p.forget(time.Now().Add(-peerIdle))
		n = &peer[C]{address: address, conns: newConns(address)}
		var err error
		if n.client, err = p.dial("gannet", options(n.conns, p.refused)...); err != nil {
			_ = n.conns.Close()
			return nil, fmt.Errorf("rpc: there can be no client: %w", err)
		}
		p.byAddress[address] = n
	}
	n.calls++
	return n, nil
}

func (p *peers[C]) give(n *peer[C]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n.calls--
	n.used = time.Now()
	if p.closed {
		p.forget(n.used.Add(time.Second))
	}
}

// forget closes clients that nobody has used since the given time. The caller holds mu.
func (p *peers[C]) forget(since time.Time) {
	for address, n := range p.byAddress {
		if n.calls == 0 && n.used.Before(since) {
			delete(p.byAddress, address)
			_ = n.conns.Close()
		}
	}
}

// close closes all clients, those with a call under way after it.
func (p *peers[C]) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.forget(time.Now().Add(time.Second))
}

// len gives how many nodes are remembered.
func (p *peers[C]) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byAddress)
}
