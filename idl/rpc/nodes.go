package rpc

// Node is one life of one process of a role.
type Node struct {
	ID      uint64
	Address string // of its RPC, host:port
}

// Nodes says which node of a role a queue belongs to: of logic the one that writes it, of
// transfer the one that reads it. It answers from the view of the registry that this
// process has, at once, and is safe for concurrent use.
type Nodes interface {
	// Of gives the node of a queue, and the version of the view that says so; ok is
	// false while there is none. Two nodes with the same view give the same answer.
	Of(queue int) (node Node, version uint64, ok bool)

	// Newer says that a view of this version exists somewhere, so that this one is read
	// anew if it is older. It does not wait.
	Newer(version uint64)
}

// Epochs says where gateways are.
type Epochs interface {
	// Gateway gives the address of the gateway of an epoch; ended says that the
	// registration of the epoch has ended. An epoch that is not known is neither: it
	// has no address, and the registry is read anew.
	Gateway(epoch uint64) (address string, ended bool)
}

// Placement says what this node knows of who has a queue.
type Placement interface {
	// Elsewhere says whether another node has the queue, and who, in a view of the
	// registry of this version; Address is empty where that is not known.
	Elsewhere(queue int) (node Node, version uint64, elsewhere bool)

	// Newer is as in Nodes.
	Newer(version uint64)
}
