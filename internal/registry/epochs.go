package registry

import (
	"context"
	"time"
)

// RPC is the key in Node.Addresses of where a node takes calls of other roles.
const RPC = "rpc"

// epochsTimeout bounds how long an epoch that is not known is asked for.
const epochsTimeout = time.Second

// Epochs says where gateways are, by their epochs: it is rpc.Epochs.
type Epochs struct{ Registry Registry }

// Gateway gives the address of the gateway of an epoch; ended says that the registration
// of the epoch has ended. An epoch that the view does not have is asked for. If the answer
// does not come, or does not tell, it is neither.
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
