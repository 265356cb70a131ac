// Package rpc lets the roles of a cluster call each other. For each port between two roles it has
// a client and a server, over Kitex. The calls are defined in ../gannet.thrift.
//
//	gateway → logic     Logics      ServeLogic      login, logout, frames, queries, pages again
//	transfer → gateway  Gateways    ServeGateway    pushes
//	logic → gateway     Gateways    ServeGateway    connections to be closed
//	logic → transfer    Receipts    ServeTransfer   receipts, past the queue
//
// The calls carry the flat lists and the blob of package hop. Its lists are used as the lists of
// generated code without a copy (lists.go). A blob is copied once on each side, into and out of a
// buffer of its connection. One Forward carries a batch of one queue. Each lane has one batch
// under way, and in a call for several queues all of them would wait for the slowest.
//
// The caller decides which node to call (nodes.go). An address is dialled as it is, without a
// resolver, balancer or circuit breaker of Kitex. There is one client for each address
// (peers.go), with as many connections as there are calls under way. When a call fails, the
// unused connections are closed, because they belong to the same, perhaps dead, process.
//
// Each try ends with the deadline of its connection, and all tries together end after callTimeout
// (calls.go). Only calls that are safe to repeat are repeated, within a budget (budget.go). A
// push is tried once here; transfer repeats it.
//
// Nothing that a peer sends can stop a process. Sizes are checked before memory is allocated
// (codec.go), lists are checked before they are used, numbers must be in range, an unknown code
// is replaced by one that says to try again, and a panic ends only its own call. All of this is
// counted, and logged at most once a second.
//
// # Transport
//
// Kitex runs on package net here, not on netpoll. The settings of netpoll are global: those of
// the gateway's listener (small buffers, few pollers) would hold for every role, because all
// roles are one program. Measured with both ends in one process on 2 busy cores, in CPU per frame
// of 128 bytes, with batches of 1 / 32 / 128: package net 37 / 2.3 / 1.1 µs, netpoll with the
// gateway's settings 47 / 2.9 / 1.4, netpoll with default settings 54 / 2.4 / 1.2, multiplexed
// over one connection 56 / 3.4 / 1.6. Also, only on package net can a call be bounded by its
// connection alone. When Kitex itself gives a call up, one of its goroutines goes on reading the
// arguments, although their memory may be reused by then.
package rpc
