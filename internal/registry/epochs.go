package registry

import (
	"context"
	"time"
)

// RPC is the key in Node.Addresses of where a node takes calls of other roles.
const RPC = "rpc"

// epochsTimeout bounds how long Gateway asks the registry about an unknown epoch.
const epochsTimeout = time.Second

// Epochs says where gateways are, by their epochs: it is rpc.Epochs.
type Epochs struct{ Registry Registry }

// Gateway gives the address of the gateway with an epoch, or says that the registration of that
// epoch has ended. If the view does not have the epoch, it asks the registry. If there is no
// answer, or no clear one, it returns "" and false.
func (e Epochs) Gateway(epoch uint64) (address string, ended bool) {
	if n, lives := e.Registry.View().Epoch(epoch); lives {
		return n.rpc(), false
	}
	ctx, cancel := context.WithTimeout(context.Background(), epochsTimeout)
	defer cancel()
	if ended, err := e.Registry.Ended(ctx, epoch); ended && err == nil {
		return "", true
	}
	if n, lives := e.Registry.View().Epoch(epoch); lives {
		return n.rpc(), false
	}
	return "", false
}

// rpc is where a gateway takes calls.
func (n *Node) rpc() string {
	if n.Role != Gateway {
		return ""
	}
	return n.Addresses[RPC]
}
