package rpc

// Node is one life of one process of a role.
type Node struct {
	ID      uint64
	Address string // of its RPC, host:port
}

// Nodes says which node of a role a queue belongs to: in logic the node that writes it, in
// transfer the node that reads it. It answers at once, from this process's view of the registry.
// It is safe for concurrent use.
type Nodes interface {
	// Of gives the node of a queue, and the version of the view that it comes from. ok is false
	// if there is no node. Two processes with the same view get the same answer.
	Of(queue int) (node Node, version uint64, ok bool)

	// Newer says that a view of this version exists somewhere. If this process's view is older,
	// it is read anew. Newer does not wait.
	Newer(version uint64)
}

// Epochs finds gateways by their epochs.
type Epochs interface {
	// Gateway gives the address of the gateway with an epoch; ended says that the registration of
	// the epoch has ended. For an unknown epoch it returns neither an address nor ended, and has
	// the registry read anew.
	Gateway(epoch uint64) (address string, ended bool)
}

// Placement says which queues other nodes have.
type Placement interface {
	// Elsewhere says whether another node has the queue, and which one, in a view of the registry
	// of this version. Address is empty if that node is not known.
	Elsewhere(queue int) (node Node, version uint64, elsewhere bool)

	// Newer is as in Nodes.
	Newer(version uint64)
}
